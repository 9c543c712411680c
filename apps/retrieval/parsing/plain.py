"""What does a text file say? Paragraphs between blank lines; chapter lines are headings."""

from __future__ import annotations

import re
from pathlib import Path

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.encodings import decode_text
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits

MAX_HEADING_CHARS = 60
_NUMBER = "[0-9〇零一二三四五六七八九十百千]{1,6}"
# 第三章 …, Chapter 3: a line of its own that does not end as a sentence does.
_CHAPTERS = (
    (re.compile(rf"^第{_NUMBER}[编編部卷篇]"), 1),
    (re.compile(rf"^第{_NUMBER}章|^(?:chapter|part)\s+[0-9ivxlc]+\b", re.I), 2),
    (re.compile(rf"^第{_NUMBER}[节節]|^section\s+[0-9]", re.I), 3),
)
_SENTENCE_END = tuple("。！？；，：、.!?;,")


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """Paragraphs; where a text has no blank lines, each line is one."""
    text, encoding = decode_text(path.read_bytes())
    found = BlockCollector(limits)
    if "\ufffd" in text:
        found.warn(f"Some characters could not be decoded as {encoding}.")
    lines = text.replace("\x0c", "\n\n").splitlines()
    spaced = any(not line.strip() for line in lines[1:-1])
    paragraph: list[str] = []
    for line in lines:
        level = heading_level(line.strip())
        if level or not line.strip() or not spaced:
            found.paragraph("\n".join(paragraph))
            paragraph = []
        if level:
            found.heading(line, level)
        elif line.strip():
            paragraph.append(line)
    found.paragraph("\n".join(paragraph))
    return ParsedDocument(blocks=tuple(found.blocks), warnings=tuple(found.warnings))


def heading_level(line: str) -> int:
    """The level of a chapter line, else 0."""
    if not line or len(line) > MAX_HEADING_CHARS or line.endswith(_SENTENCE_END):
        return 0
    return next((level for pattern, level in _CHAPTERS if pattern.match(line)), 0)
