"""How FAQs lie in csv files: any usual delimiter and encoding is read, and one broken row does not spoil the next."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from apps.faq.raw_rows import ALIASES, MAX_RECORD_CHARS, READABLE, cells_of, name_columns
from apps.faq.rows import COLUMNS, FAQRow
from apps.retrieval.rows.raw_rows import Found, RawRow, unusable

MAX_LINE_CHARS = 4 * MAX_RECORD_CHARS
_SAMPLE_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 20
# What a spreadsheet would calculate, call or fetch (OWASP, "CSV Injection"): text in cells is not its author's program on another's machine.
_FORMULA = re.compile(r"'*(?:[=@\uff1d\uff20\t\r]|[+\uff0b\uff0d-][^|(!]*[|(!])")
_SURROGATE = re.compile("[\udc80-\udcff]")

csv.field_size_limit(MAX_RECORD_CHARS)


def read_csv(file: BinaryIO, found: Found) -> Iterator[RawRow]:
    """The rows of a csv file; `found.encoding` says how it was read."""
    found.encoding = _encoding_of(file)
    text = io.TextIOWrapper(file, encoding=found.encoding, errors="surrogateescape", newline="")
    try:
        yield from _csv_rows(text, found)
    finally:
        text.detach()


def write_csv(file: BinaryIO, rows: Iterable[FAQRow]) -> int:
    """Writes all rows, with the mark that makes Excel read UTF-8; before what would be a formula there stands a `'`. Returns how many."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        count = 0
        for row in rows:
            writer.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells_of(row)])
            count += 1
        return count
    finally:
        text.detach()


def _csv_rows(text: io.TextIOWrapper, found: Found) -> Iterator[RawRow]:
    first = text.readline(MAX_LINE_CHARS)
    if not first.strip():
        raise unusable("it is empty" if not first else "its first row is blank; it must name the columns")
    lines = _Lines(first, text)
    reader = csv.reader(lines, delimiter=_delimiter_of(first), strict=True)
    columns: list[str | None] = []
    number = 0
    while True:
        lines.begin()
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not columns:
                raise unusable(f"its first row, which must name the columns, cannot be read: {error}") from error
            yield RawRow(number, None, _quoting_problem(error, len(lines.taken)))
            lines.put_back()
            continue
        if not columns:
            columns = name_columns(cells, found)
        elif any(cell.strip() for cell in cells):
            yield _csv_row(number, cells, columns)


def _csv_row(number: int, cells: list[str], columns: list[str | None]) -> RawRow:
    if len(cells) != len(columns) and any(cell.strip() for cell in cells[len(columns) :]) or len(cells) < len(columns):
        return RawRow(
            number,
            None,
            f"It has {len(cells)} cells, but the first row names {len(columns)} columns: a delimiter or a quote is missing or too many.",
        )
    data = {column: _without_guard(cell) for column, cell in zip(columns, cells, strict=False) if column}
    for column, cell in data.items():
        if "\x00" in cell:
            return RawRow(number, None, f"`{column}` holds a NUL byte.")
        if _SURROGATE.search(cell):
            return RawRow(number, None, f"`{column}` holds bytes that are not text in UTF-8.")
    return RawRow(number, data)


def _without_guard(cell: str) -> str:
    """The cell without the `'` that `write_csv` puts before what would be a formula."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _quoting_problem(error: csv.Error, lines: int) -> str:
    if "field larger" in str(error):
        return f"A cell is longer than {MAX_RECORD_CHARS} characters, or a quote that opens in this row is never closed."
    if "unexpected end" in str(error) or lines > 1:
        return "A quote that opens in this row is not closed properly; quotes within a quoted cell must be doubled."
    return "Something follows a closing quote; quotes within a quoted cell must be doubled."


def _delimiter_of(header: str) -> str:
    """Of comma, semicolon and tab the one that cuts the header into most columns that we know."""

    def known(delimiter: str) -> int:
        titles = [title.strip().strip('"').strip().lower() for title in header.split(delimiter)]
        return sum(title in READABLE or title in ALIASES for title in titles)

    return max(",;\t", key=known)


def _encoding_of(file: BinaryIO) -> str:
    """UTF-8 where the file is (nearly) that, UTF-16 with a mark, else GB 18030, which Chinese Excel writes."""
    file.seek(0)
    sample = file.read(_SAMPLE_BYTES)
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        file.seek(0)
        return "utf-16"
    if b"\x00" in sample[:4096]:
        raise unusable("it holds NUL bytes, so it is no text file (or UTF-16 without a byte order mark)")
    if _decodes(file, "utf-8"):
        chosen = "utf-8-sig"
    else:
        decoded = sample.decode("utf-8", errors="surrogateescape")
        bad, beyond_ascii = len(_SURROGATE.findall(decoded)), sum(byte > 127 for byte in sample)
        nearly = bad * 20 < beyond_ascii or not beyond_ascii
        chosen = "gb18030" if not nearly and _decodes(file, "gb18030") else "utf-8-sig"
    file.seek(0)
    return chosen


def _decodes(file: BinaryIO, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while block := file.read(_BLOCK_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


class _Lines:
    """The lines of a text, some of which can be put back; `taken` are those since the last `begin`."""

    def __init__(self, first: str, text: io.TextIOBase) -> None:
        self._text = text
        self._back: list[str] = [first]
        self.taken: list[str] = []
        self._chars = 0

    def begin(self) -> None:
        self.taken, self._chars = [], 0

    def put_back(self) -> None:
        """Gives all lines but the first back to be read again."""
        self._back += self.taken[:0:-1]
        self.begin()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else self._read_line()
        self._chars += len(line)
        if line and self.taken and self._chars > 2 * MAX_RECORD_CHARS:
            self._back.append(line)
            line = ""
        if not line:
            raise StopIteration
        self.taken.append(line)
        return line

    def _read_line(self) -> str:
        """The next line; of an endless one only the beginning, which is too long for a cell in any case."""
        line = rest = self._text.readline(MAX_LINE_CHARS)
        while len(rest) == MAX_LINE_CHARS and not rest.endswith("\n"):
            rest = self._text.readline(MAX_LINE_CHARS)
        return line
