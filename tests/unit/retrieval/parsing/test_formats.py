"""A file is told by what it holds; its name decides between kinds of plain text only."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.retrieval.parsing.formats import Format, detect_format
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from tests import sample_files

LIMITS = ParseLimits()


def detect(folder: Path, data: bytes, name: str = "file") -> Format:
    path = folder / "file"
    path.write_bytes(data)
    return detect_format(path, name, LIMITS)


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.pdf", Format.PDF), ("a.docx", Format.DOCX), ("a.pptx", Format.PPTX), ("a.xlsx", Format.XLSX), ("a.epub", Format.EPUB)],
)
@pytest.mark.parametrize("called", ["right", "wrong.txt", "none"])
def test_a_binary_file_is_what_it_holds_whatever_its_name(tmp_path: Path, name: str, format: Format, called: str) -> None:
    assert detect(tmp_path, sample_files.VALID[name](), name if called == "right" else called) is format


def test_a_page_named_as_text_is_a_page(tmp_path: Path) -> None:
    assert detect(tmp_path, sample_files.html(), "page.txt") is Format.HTML
    assert detect(tmp_path, b"<p>a</p><p>b</p><p>c</p><p>d</p><p>e</p>", "page.txt") is Format.HTML


def test_the_name_tells_kinds_of_text_apart(tmp_path: Path) -> None:
    text = b"a, b\nc, d\n"
    found = [detect(tmp_path, text, name) for name in ("a.csv", "a.md", "a.txt", "a.pdf", "a")]
    assert found == [Format.CSV, Format.MARKDOWN, Format.TEXT, Format.TEXT, Format.TEXT]
    assert detect(tmp_path, b'{"id": 1}\n{"id": 2}\n', "rows.txt") is Format.JSONL


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b" \n\t", Reason.EMPTY),
        (bytes(1000), Reason.EMPTY),
        (b"\x89PNG\r\n\x1a\n", Reason.UNSUPPORTED),
        (b"\x7fELF\x02\x01", Reason.UNSUPPORTED),
        (b"{\\rtf1 text}", Reason.UNSUPPORTED),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), Reason.UNSUPPORTED),
        (b"<?xml version='1.0'?><feed/>", Reason.UNSUPPORTED),
        (bytes(range(256)) * 20, Reason.UNSUPPORTED),
        (sample_files.encrypted_office(), Reason.ENCRYPTED),
        (sample_files.encrypted_zip(), Reason.ENCRYPTED),
        (sample_files.word()[:5000], Reason.DAMAGED),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_what_cannot_be_read_is_refused_with_its_reason(tmp_path: Path, data: bytes, reason: Reason) -> None:
    with pytest.raises(UnreadableFile) as refused:
        detect(tmp_path, data)
    assert refused.value.reason is reason


def test_a_text_that_begins_as_a_program_does_is_text(tmp_path: Path) -> None:
    assert detect(tmp_path, b"MZ is how programs begin. BM is how pictures begin.", "a.txt") is Format.TEXT


def test_every_reason_says_what_to_do() -> None:
    for reason in Reason:
        assert str(UnreadableFile(reason, "it is odd", name="a.pdf")).startswith("a.pdf: it is odd. ")


def test_many_comments_before_other_markup_are_passed_in_no_time(tmp_path: Path) -> None:
    """Each might be told apart in two ways: forty of them in as many ways as take a year."""
    page = b"<!-- a -->" * 40
    assert detect(tmp_path, page + b"<table><tr><td>a</td></tr></table>", "page.html") is Format.HTML
    assert detect(tmp_path, page * 20 + b"<html><p>a</p></html>", "page.txt") is Format.HTML
