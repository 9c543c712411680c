"""From a file to its passages: every passage is the text between its offsets, whatever the file is written in."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import docx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.screening import mended
from apps.retrieval.models import IngestPolicy
from apps.retrieval.parsing import child, delimited, markdown, plain, rows, sandbox, web_page, word
from apps.retrieval.parsing.refusal import ParseLimits, UnreadableFile

# Astral characters, marks apart from their letters, wide and narrow forms, joined emoji, odd line ends, bytes that were decoded wrongly.
ODD = st.text(
    alphabet="ab1 .，。年假𠮷😀👩\u200d👧e\u0301ﬁＡ\u00a0\u3000\u2028\x85\x0b\r\n\t|<>&*#_â€™帶薪\ufeff\u202e", min_size=1, max_size=80
)
Write = Callable[[list[str]], bytes]


def written_as_csv(texts: list[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["name", "text"], *([str(n), text] for n, text in enumerate(texts))])
    return out.getvalue().encode()


def written_as_word(texts: list[str]) -> bytes:
    out, document = io.BytesIO(), docx.Document()
    for text in texts:
        document.add_paragraph(text.replace("\x0b", " "))
    document.save(out)
    return out.getvalue()


FORMATS: dict[str, tuple[ModuleType, Write]] = {
    "txt": (plain, lambda texts: "\r\n\r\n".join(texts).encode()),
    "md": (markdown, lambda texts: "\n\n".join(f"## {number}\n\n{text}" for number, text in enumerate(texts)).encode()),
    "html": (web_page, lambda texts: "".join(f"<h2>{n}</h2><p>{html.escape(text)}</p>" for n, text in enumerate(texts)).encode()),
    "csv": (delimited, written_as_csv),
    "jsonl": (rows, lambda texts: "\n".join(json.dumps({"title": "t", "text": text}) for text in texts).encode()),
    "docx": (word, written_as_word),
}


@pytest.mark.parametrize("suffix", FORMATS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(ODD, min_size=1, max_size=6))
def test_every_passage_of_a_file_is_the_text_between_its_offsets(tmp_path: Path, suffix: str, texts: list[str]) -> None:
    parser, write = FORMATS[suffix]
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(write(texts))
    try:
        parsed = sandbox._document(json.loads(child._as_json(parser.parse(path, ParseLimits()), [])), "text/plain")
    except UnreadableFile:
        return
    row = DocumentRow(id="a", text="", title=parsed.title)
    chunked = draft_of(mended(Reading(row=row, blocks=parsed.blocks), IngestPolicy())).chunked
    for passage in chunked.passages:
        assert chunked.text[passage.start : passage.end] == passage.text == passage.text.strip()
        assert passage.section_start <= passage.start < passage.end <= passage.section_end
    said = "".join(passage.text for passage in chunked.passages) + "".join(passage.heading for passage in chunked.passages) + row.title
    assert set(visible("".join(texts))) <= set(visible(said))


def visible(text: str) -> str:
    return "".join(char for char in text if char.isalpha() and char != "â")
