"""Files of FAQs: whatever bytes come, each row is read or refused by its number, and what was written reads back the same."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from apps.faq.files import FileFormat, format_named, format_of, read_rows, write_rows
from apps.faq.raw_rows import MAX_RECORD_CHARS
from apps.faq.rows import FAQRow, parse_row
from apps.retrieval.rows.raw_rows import Found, RawRow
from core.errors import InvalidRequest

CSV, XLSX, JSONL = FileFormat.CSV, FileFormat.XLSX, FileFormat.JSONL


def rows_of(content: bytes, known: FileFormat, found: Found | None = None) -> list[RawRow]:
    return list(read_rows(io.BytesIO(content), known, found or Found()))


def outcome(content: bytes, known: FileFormat) -> list[object]:
    """For each row its first question, or its number and the problem."""
    told: list[object] = []
    for raw in rows_of(content, known):
        try:
            if raw.problem:
                raise InvalidRequest(raw.problem)
            told.append(parse_row(raw.data).questions[0])
        except InvalidRequest as error:
            told.append((raw.number, error.message))
    return told


def workbook(*rows: list[object]) -> bytes:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def check(told: list[object], expected: list[object]) -> None:
    """Good rows by their question, bad ones by number and a part of the reason."""
    assert [row if isinstance(row, str) else row[0] for row in told] == [row if isinstance(row, str) else row[0] for row in expected]
    for row, wanted in zip(told, expected, strict=True):
        assert isinstance(row, str) or wanted[1] in row[1]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"question,answer\na,1\nb,2\n", ["a", "b"]),
        (b"question;answer\r\na;1\r\n", ["a"]),
        (b"question\tanswer\na\t1\n", ["a"]),
        (b"question,answer\ra,1\rb,2\r", ["a", "b"]),
        (b"\xef\xbb\xbfquestion,answer\na,1\n", ["a"]),
        ("question,answer\n年假,十天\n".encode(), ["年假"]),
        ("question,answer\n年假,十天\n".encode("gb18030"), ["年假"]),
        ("question,answer\n年假,十天\n".encode("utf-16"), ["年假"]),
        ("问题,答案\n年假,十天\n".encode("gbk"), ["年假"]),
        (b' Question ,"Answer "\na,1\n', ["a"]),
        (b"question,answer\n\na,1\n , \nb,2\n", ["a", "b"]),
        (b"question,answer\na,1,,\n", ["a"]),
        (b'question,answer\n"a ""x""",1\n', ['a "x"']),
        (b'question,answer\n5" disk,1\nb,2\n', ['5" disk', "b"]),
        (b"question,answer\na\nb,2\n", [(2, "It has 1 cells, but the first row names 2"), "b"]),
        (b"question,answer\na,1,x\nb,2\n", [(2, "It has 3 cells"), "b"]),
        (b"question,answer\na,\nb,2\n", [(2, "`answer` is empty"), "b"]),
        (b"question,answer\n,1\nb,2\n", [(2, "At least one question"), "b"]),
        (b'question,answer\n"a,1\nb,2\nc,3\n', [(2, "quote that opens in this row"), "b", "c"]),
        (b'question,answer\n"a"x,1\nb,2\n', [(2, "closing quote"), "b"]),
        (b'question,answer\na,"1\nb,"2"\nc,3\n', [(2, "not closed properly"), "b", "c"]),
        (b'question,answer\na,1\nb,"2', ["a", (3, "not closed properly")]),
        (b"question,answer\n" + b"\xe5\xb9\xb4" * 400 + b",1\na\xff,2\nb,3\n", ["年" * 400, (3, "not text in UTF-8"), "b"]),
        (b"question,answer\n" + b"a,1\n" * 2000 + b"a\x00b,1\nb,2\n", ["a"] * 2000 + [(2002, "NUL byte"), "b"]),
        (b"question,answer\na," + b"x" * (MAX_RECORD_CHARS + 1) + b"\nb,2\n", [(2, "longer than"), "b"]),
        (b"question,answer\n" + b"x" * (5 * MAX_RECORD_CHARS) + b"\nb,2\n", [(2, "longer than"), "b"]),
        (b"question,answer,status\na,1,live\nb,2,draft\n", [(2, "`status` must be one of"), "b"]),
        (b"question,answer\n", []),
    ],
)  # fmt: skip
def test_csv(content: bytes, expected: list[object]) -> None:
    check(outcome(content, CSV), expected)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"\n\nquestion,answer\n", "first row is blank"),
        (b"a,b\n1,2\n", "question (or questions) and answer is missing; it reads: a, b"),
        (b"question\na\n", "answer is missing"),
        (b"question,answer,answer\na,1,2\n", "the column answer is there twice"),
        (b'"question,answer\na,1\n', "cannot be read"),
        ("question,answer\na,1\n".encode("utf-16-le"), "NUL bytes"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "NUL bytes"),
    ],
)
def test_a_csv_file_that_is_of_no_use_is_refused_before_its_first_row(content: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        next(read_rows(io.BytesIO(content), CSV, Found()))
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"question": "a", "answer": "1"}\n\n{"questions": ["b"], "answer": "2"}', ["a", "b"]),
        (b'\xef\xbb\xbf{"question": "a", "answer": "1"}\r\n', ["a"]),
        (b'{"question": "a", "answer": "1"\n{"question": "b", "answer": "2"}\n', [(1, "not JSON"), "b"]),
        (b'{"question": "\xff", "answer": "1"}\n{"question": "b", "answer": "2"}\n', [(1, "not JSON"), "b"]),
        (b'{"question": "\\ud800", "answer": "1"}\n', [(1, "not JSON")]),
        (b'{"question": "a", "answer": NaN}\n', [(1, "not JSON")]),
        (
            b'[1, 2]\n"text"\nnull\ntrue\n5\n',
            [(1, "not a list"), (2, "not a text"), (3, "not null"), (4, "not true or false"), (5, "not a number")],
        ),
        (b'{"question": "a", "answer": {"a": 1}}\n', [(1, "`answer` must be text")]),
        (b'{"question": true, "answer": "1"}\n', [(1, "`question` must be text")]),
        (b'{"question": "a\\u0000b", "answer": "1"}\n', ["ab"]),
        (b"[" * 100_000 + b'\n{"question": "b", "answer": "2"}\n', [(1, "not JSON"), "b"]),
        (b'{"question": "' + b"x" * 3_000_000 + b'", "answer": "1"}\n{"question": "b", "answer": "2"}\n', [(1, "longer than"), "b"]),
        (b"", []),
    ],
)
def test_jsonl(content: bytes, expected: list[object]) -> None:
    check(outcome(content, JSONL), expected)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["question", "answer"], ["a", "1"], [None, None], ["b", "2"]], ["a", "b"]),
        ([["问题", "答案"], ["年假", "十天"]], ["年假"]),
        ([["id", "question", "answer"], [7, 2026, 3.5]], ["2026"]),
        ([["question", "answer"], ["a", None], ["b", "2"]], [(2, "`answer` is missing"), "b"]),
        ([["question", "answer"], ["a", True], ["b", "2"]], [(2, "`answer` must be text"), "b"]),
        ([["question", "answer"], ["a", "1", "beyond"], ["b", "2"]], [(2, "cells beyond the 2 columns"), "b"]),
        ([["question", "answer"], [], [], ["a", ""], ["b", "2"]], [(4, "`answer`"), "b"]),
        ([["question", "answer"], ["a", "#N/A"], ["b", "2"]], [(2, "Excel error #N/A"), "b"]),
        ([["question", "answer", "valid_from"], ["a", "1", "soon"], ["b", "2", date(2026, 3, 1)]], [(2, "must be a date"), "b"]),
        ([["question", "answer"]], []),
    ],
)
def test_xlsx(rows: list[list[object]], expected: list[object]) -> None:
    check(outcome(workbook(*rows), XLSX), expected)


def test_numbers_and_dates_in_cells_become_what_a_person_sees() -> None:
    cells = [12.0, 3.5, datetime(2026, 3, 1), datetime(2026, 3, 1, 8, 30), timedelta(hours=2)]
    (raw,) = rows_of(workbook(["id", "question", "answer", "category", "locale"], cells), XLSX)
    assert raw.data == {"id": "12", "question": "3.5", "answer": "2026-03-01", "category": "2026-03-01 08:30", "locale": "2:00:00"}


def test_a_date_cell_ends_with_its_day() -> None:
    (raw,) = rows_of(workbook(["question", "answer", "valid_until"], ["a", "1", datetime(2026, 3, 31)]), XLSX)
    assert parse_row(raw.data).valid_until == datetime(2026, 3, 31, 15, 59, 59, tzinfo=UTC)


def damaged_workbook() -> bytes:
    content = bytearray(workbook(["question", "answer"], *([f"q{n}", "1"] for n in range(500))))
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        place = archive.getinfo("xl/worksheets/sheet1.xml").header_offset + 200
    content[place : place + 20] = b"\x00" * 20
    return bytes(content)


def with_sheet(xml: bytes) -> bytes:
    """A workbook whose sheet is these bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(["question", "answer"]))) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, xml if part.filename == "xl/worksheets/sheet1.xml" else old.read(part))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no whole Excel workbook"),
        (b"PK\x03\x04 nothing more", "no whole Excel workbook"),
        (workbook(["question", "answer"])[:2000], "no whole Excel workbook"),
        (damaged_workbook(), "no whole Excel workbook"),
        (with_sheet(b"<worksheet><sheetData><row"), "no whole Excel workbook"),
        (workbook(), "is empty"),
        (workbook(["a", "b"]), "it reads: a, b"),
    ],
)
def test_a_workbook_that_is_of_no_use_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        list(read_rows(io.BytesIO(content), XLSX, Found()))
    assert says in refused.value.message


@pytest.mark.parametrize(
    "text",
    ["=1+1", '=HYPERLINK("https://evil.example","x")', "@SUM(1)", "-2+3+cmd|' /C calc'!A0", "+WEBSERVICE(A1)", "'=1", "''=1", "\uff1dA1"],
)
def test_no_cell_of_a_csv_is_a_formula_and_each_reads_back_as_it_was(text: str) -> None:
    file = io.BytesIO()
    write_rows(file, CSV, [FAQRow(id="a", questions=(text,), answer=text, category="")])
    cells = next(csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig").split("\n", 1)[1])))
    assert all(cell[:1] in ("", "'") or cell == "a" for cell in cells)
    (raw,) = rows_of(file.getvalue(), CSV)
    assert isinstance(raw.data, dict) and (raw.data["questions"], raw.data["answer"]) == (text, text)


@pytest.mark.parametrize("text", ["- one\n- two", "-5 degrees", "'quoted' words", "+49 30 1234"])
def test_what_is_no_formula_stands_in_a_csv_as_it_is(text: str) -> None:
    file = io.BytesIO()
    write_rows(file, CSV, [FAQRow(id="a", questions=("q",), answer=text)])
    assert f",{text}," in file.getvalue().decode("utf-8-sig").replace('"', "")


def test_a_small_file_that_unpacks_to_gigabytes_of_cells_is_refused() -> None:
    content = with_sheet(bytes(200 << 20))
    assert len(content) < 1 << 20
    with pytest.raises(InvalidRequest, match="unpacks to 200 MiB; at most 128"):
        rows_of(content, XLSX)


def test_a_workbook_that_would_unpack_to_too_much_is_refused_unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.faq.xlsx_files.MAX_UNPACKED_BYTES", 2 << 20)
    content = with_sheet(bytes(9 << 20))
    assert len(content) < 50_000
    with pytest.raises(InvalidRequest, match="unpacks to 9 MiB; at most 2"):
        rows_of(content, XLSX)


def test_rows_before_the_damage_of_a_sheet_are_kept() -> None:
    cells = b'<c r="A%d" t="inlineStr"><is><t>%s</t></is></c><c r="B%d" t="inlineStr"><is><t>%s</t></is></c>'
    pairs = [(b"question", b"answer"), *((b"q%d" % n, b"1") for n in range(5000))]
    rows = b"".join(b'<row r="%d">' % n + cells % (n, q, n, a) + b"</row>" for n, (q, a) in enumerate(pairs, start=1))
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1"/><sheetData>'
        + rows
        + b'<row r="5002"><c r="A5002"></row>'
    )
    *kept, (_, problem) = outcome(with_sheet(sheet), XLSX)
    assert kept[:2] == ["q0", "q1"] and len(kept) > 4000
    assert "damaged from this row on" in problem


@pytest.mark.parametrize(
    ("name", "content", "known"),
    [
        ("a.csv", b"", CSV),
        ("a.TSV", b"", CSV),
        ("a.jsonl", b"", JSONL),
        ("a.xlsx", b"", XLSX),
        ("a", b' {"question"', JSONL),
        ("a", b"PK\x03\x04", XLSX),
        ("a.dat", b"question,answer", CSV),
    ],
)
def test_the_format_shows_in_the_name_or_else_the_content(name: str, content: bytes, known: FileFormat) -> None:
    assert format_of(io.BytesIO(content), name) is known


@pytest.mark.parametrize(
    ("name", "content", "says"), [("a.csv", b"PK\x03\x04", "is an Excel workbook"), ("a.xls", b"\xd0\xcf\x11\xe0", "save it as .xlsx")]
)
def test_a_name_that_belies_the_content_is_refused(name: str, content: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        format_of(io.BytesIO(content), name)


def test_a_file_to_write_needs_a_known_ending() -> None:
    assert format_named("out.xlsx") is XLSX
    with pytest.raises(InvalidRequest, match="none of"):
        format_named("out.pdf")


def test_unknown_columns_are_named() -> None:
    found = Found()
    rows_of(b"question,answer,anwser,\na,1,2,\n", CSV, found)
    assert found.ignored == {"anwser"}


def test_the_encoding_is_told() -> None:
    found = Found()
    rows_of("question,answer\n年假,十天\n".encode("gbk"), CSV, found)
    assert found.encoding == "gb18030"


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)
moments = st.none() | st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@st.composite
def faq_rows(draw: st.DrawFn) -> FAQRow:
    """Any row that `parse_row` lets through."""
    start, end = draw(moments), draw(moments)
    if start and end and start >= end:
        start = None
    data = {
        "id": draw(st.from_regex(r"[a-z0-9_.=+-]{1,20}", fullmatch=True)),
        "questions": [draw(texts) + "问", *draw(st.lists(texts, max_size=4))],
        "answer": draw(texts) + draw(st.sampled_from(["。", "\n二", "=1+1", "#N/A", "\r\n\r\nx", '"', "_x0041_"])),
        "category": draw(texts),
        "locale": draw(st.sampled_from(["zh", "en"])),
        "status": draw(st.sampled_from(["draft", "in_review", "published", "archived"])),
        "valid_from": start,
        "valid_until": end,
    }
    return parse_row(data)


def written(known: FileFormat, rows: list[FAQRow]) -> bytes:
    file = io.BytesIO()
    assert write_rows(file, known, rows) == len(rows)
    return file.getvalue()


@pytest.mark.parametrize("known", list(FileFormat))
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(faq_rows(), max_size=4))
@example(
    rows=[
        FAQRow(
            id="1",
            questions=("=SUM(A1)", "+1", "-2", "@x"),
            answer="=cmd|' /C calc'!A0\n第二行",
            category="#REF!",
            locale="zh",
            status="draft",
        )
    ]
)
def test_what_is_written_reads_back_the_same(known: FileFormat, rows: list[FAQRow]) -> None:
    assert [parse_row(raw.data) for raw in rows_of(written(known, rows), known)] == rows


def test_no_cell_of_a_workbook_is_a_formula() -> None:
    row = FAQRow(id="=1", questions=("=1+1",), answer="=HYPERLINK(0)", category="@a", locale="en", status="draft")
    sheet = load_workbook(io.BytesIO(written(XLSX, [row]))).active
    assert {cell.data_type for cell in sheet[2] if cell.value is not None} == {"s"}


def test_an_answer_too_long_for_excel_is_refused_instead_of_cut() -> None:
    row = FAQRow(id="long", questions=("a",), answer="x" * 32_768)
    with pytest.raises(InvalidRequest, match="`answer` of long has 32768 characters"):
        written(XLSX, [row])
    assert json.loads(written(JSONL, [row]))["answer"] == row.answer


def test_csv_begins_with_the_mark_that_excel_needs() -> None:
    assert written(CSV, []).startswith(b"\xef\xbb\xbfid,questions,answer")
