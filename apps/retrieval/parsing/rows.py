"""What do JSON lines say? Each row is a section: its title, then its text and what else it states."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.encodings import decode_text
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile

MAX_NAMED = 10
TITLES = ("title", "question", "name", "heading")
TEXTS = ("text", "content", "body", "answer", "passage")
# What a row states beside its text is for whoever loads rows as documents of their own.
FACTS = frozenset(("id", "url", "date", "tags", "author", "category", "language", "lang"))


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """The rows as sections of one document. A file whose rows are documents of their own is read by the command that loads them.

    A warning tells which lines (or members of a list) are no JSON objects; raises UnreadableFile if none is.
    """
    text, _ = decode_text(path.read_bytes())
    found = BlockCollector(limits)
    read, bad = 0, []
    for number, row in _rows(text):
        if isinstance(row, dict):
            read += 1
            _add(found, row)
        else:
            bad.append(number)
    if not read:
        raise UnreadableFile(Reason.DAMAGED, "none of its lines is a JSON object")
    if bad:
        shown = ", ".join(map(str, bad[:MAX_NAMED])) + (" …" if len(bad) > MAX_NAMED else "")
        found.warn(f"{len(bad)} lines are not JSON objects and were left out: {shown}.")
    return ParsedDocument(blocks=tuple(found.blocks), warnings=tuple(found.warnings))


def _rows(text: str) -> Iterator[tuple[int, object]]:
    if text.lstrip()[:1] == "[":
        whole = _loads(text)
        if isinstance(whole, list):
            yield from enumerate(whole, 1)
            return
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and not isinstance(_loads(lines[0][1]), dict):
        whole = _loads(text)
        if isinstance(whole, dict):
            yield 1, whole
            return
    for number, line in lines:
        yield number, _loads(line)


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
    except RecursionError as error:
        raise UnreadableFile(Reason.TOO_DEEP, "its JSON is nested too deeply") from error


def _add(found: BlockCollector, row: dict[str, object]) -> None:
    title = next((value for name in TITLES if isinstance(value := row.get(name), str) and value.strip()), "")
    body = next((value for name in TEXTS if isinstance(value := row.get(name), str) and value.strip()), "")
    if title:
        found.heading(title, 2)
    if body:
        found.paragraph(body)
        return
    rest = [f"{name}: {value}" for name, value in row.items() if name not in FACTS and name not in TITLES and _is_plain(value)]
    found.items(rest)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip() != ""
