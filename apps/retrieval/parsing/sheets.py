"""What does an XLSX file say? Each sheet is a page: its name as a heading, its rows as a table."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.office import checked_properties, office_document
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits

MAX_COLUMNS = 500


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """The values that the sheets last showed; formulas without a stored value are empty. Hidden sheets are left out."""
    properties = checked_properties(path, limits)
    found = BlockCollector(limits)
    with path.open("rb") as file:
        _add_sheets(found, openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False))
    return office_document(found, properties)


def _add_sheets(found: BlockCollector, book: openpyxl.Workbook) -> None:
    for page, sheet in enumerate(book.worksheets, 1):
        if sheet.sheet_state != "visible":
            continue
        # A sheet may state any size; without one the rows that are there are read.
        sheet.reset_dimensions()
        before = len(found.blocks)
        found.heading(sheet.title, 2, page)
        found.table(_rows(sheet), page)
        if len(found.blocks) == before + 1:
            found.blocks.pop()


def _rows(sheet: Any) -> Iterator[list[str]]:
    """The rows that hold something. Without a width to fill, openpyxl gives the rows of a gap as empty tuples at no cost."""
    for row in sheet.iter_rows(values_only=True):
        if row:
            yield [_shown(value) for value in row[:MAX_COLUMNS]]


def _shown(value: object) -> str:
    """A value as people write it: whole numbers without a fraction, days without midnight."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time.min else value.isoformat(" ", "minutes")
    return str(value)
