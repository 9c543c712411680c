"""How FAQs lie in Excel workbooks: the first sheet, its first row naming the columns."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import BinaryIO

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.read_only import ReadOnlyCell
from openpyxl.utils.exceptions import InvalidFileException

from apps.faq.raw_rows import MAX_COLUMNS, cells_of, name_columns
from apps.faq.rows import COLUMNS, FAQRow
from apps.retrieval.rows.raw_rows import Found, RawRow, unusable
from core.errors import InvalidRequest

MAX_UNPACKED_BYTES = 128 << 20  # read in the process that answers: its strings take four times that
MAX_CELL_CHARS = 32_767  # Excel's own
_WIDTHS = {"A": 20, "B": 50, "C": 80, "D": 20, "F": 26, "G": 26}
_BROKEN_WORKBOOK = (
    InvalidFileException,
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    SyntaxError,
    OSError,
)


def read_xlsx(file: BinaryIO, found: Found) -> Iterator[RawRow]:
    """The rows of the first sheet."""
    _check_archive(file)
    try:
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what a file says of its own size may be wrong, and rows beyond it would be lost
        rows = sheet.iter_rows(max_col=MAX_COLUMNS)
        header = _without_empty_end([cell.value for cell in next(rows, ())])
    except _BROKEN_WORKBOOK as error:
        raise unusable(f"it is no whole Excel workbook ({_first_line(error)})") from error
    if not header:
        raise unusable("the first row of its first sheet is empty; it must name the columns")
    yield from _sheet_rows(rows, name_columns(header, found))


def write_xlsx(file: BinaryIO, rows: Iterable[FAQRow]) -> int:
    """Writes all rows, each cell as text: nothing is a formula. Returns how many.

    Raises InvalidRequest for a text that Excel's cells cannot hold.
    """
    book = Workbook(write_only=True)
    sheet = book.create_sheet("FAQ")
    sheet.freeze_panes = "A2"
    for letter, width in _WIDTHS.items():
        sheet.column_dimensions[letter].width = width
    plain = WriteOnlyCell(sheet)
    plain.number_format = "@"
    sheet.append(list(COLUMNS))
    count = 0
    try:
        for row in rows:
            sheet.append([_text_cell(plain, column, text, row) for column, text in zip(COLUMNS, cells_of(row), strict=True)])
            count += 1
    except BaseException:
        sheet.close()
        raise
    book.save(file)
    return count


def _text_cell(plain: WriteOnlyCell, column: str, text: str, row: FAQRow) -> WriteOnlyCell:
    if len(text) > MAX_CELL_CHARS:
        raise InvalidRequest(
            f"`{column}` of {row.id} has {len(text)} characters; an Excel cell holds {MAX_CELL_CHARS}. Export as csv or jsonl.", faq=row.id
        )
    cell = WriteOnlyCell(plain.parent, value=text)
    cell.data_type = "s"
    cell._style = plain._style  # the public setter makes a copy for each cell, which takes longer than writing it
    return cell


def _without_empty_end(cells: list[object]) -> list[object]:
    while cells and cells[-1] in (None, ""):
        cells.pop()
    return cells


def _sheet_rows(rows: Iterator[tuple[ReadOnlyCell, ...]], columns: list[str | None]) -> Iterator[RawRow]:
    number = 1
    while True:
        number += 1
        try:
            cells = next(rows, None)
        except _BROKEN_WORKBOOK as error:
            yield RawRow(number, None, f"The sheet is damaged from this row on ({_first_line(error)}).")
            return
        if cells is None:
            return
        if any(cell.value not in (None, "") for cell in cells):
            yield _sheet_row(number, cells, columns)


def _sheet_row(number: int, cells: tuple[ReadOnlyCell, ...], columns: list[str | None]) -> RawRow:
    if any(cell.value not in (None, "") for cell in cells[len(columns) :]):
        return RawRow(number, None, f"It has cells beyond the {len(columns)} columns that the first row names.")
    data: dict[str, object] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column and cell.data_type == "e":
            return RawRow(number, None, f"`{column}` holds the Excel error {cell.value}.")
        if column:
            data[column] = _moment_in(cell.value) if column.startswith("valid_") else _text_in(cell.value)
    return RawRow(number, data)


def _moment_in(cell: object) -> object:
    """A date cell as it is; midnight is how Excel says that there is no time."""
    if isinstance(cell, datetime):
        return cell.date() if cell.time() == time.min else cell
    return cell if isinstance(cell, date) else _text_in(cell)


def _text_in(cell: object) -> object:
    """The text that a person sees in the cell, as far as can be told. True and false stay, and are refused as no text."""
    if isinstance(cell, str):
        return cell.replace("_x000D_\n", "\n").replace("\r\n", "\n")
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return str(cell.date()) if cell.time() == time.min else cell.isoformat(sep=" ", timespec="minutes")
    if isinstance(cell, (int, date, time, timedelta)) and not isinstance(cell, bool):
        return str(cell)
    return cell


def _check_archive(file: BinaryIO) -> None:
    """Refuses what is damaged and what would unpack to far more than anybody writes by hand."""
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
            if unpacked > MAX_UNPACKED_BYTES:
                raise unusable(
                    f"it unpacks to {unpacked >> 20} MiB; at most {MAX_UNPACKED_BYTES >> 20} are read from a workbook. Use csv or jsonl"
                )
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise unusable(f"it is no whole Excel workbook ({_first_line(error)})") from error
    if damaged:
        raise unusable(f"it is no whole Excel workbook ({damaged} is damaged)")
    file.seek(0)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]
