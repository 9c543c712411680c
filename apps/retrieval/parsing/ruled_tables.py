"""Which tables with rules do pages of a PDF hold? By pdfplumber, one page at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pdfplumber
from pdfminer.pdfexceptions import PDFException
from pdfminer.psexceptions import PSException
from pdfplumber.utils.exceptions import PdfminerException

from apps.retrieval.parsing.page_lines import Table

MAX_CELLS = 20_000
# pdfminer raises these on files that PDFium still reads.
_ERRORS = (
    PdfminerException, PDFException, PSException, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError,
    struct.error, RecursionError, NotImplementedError, ZeroDivisionError, OverflowError, UnicodeError, EOFError,
)  # fmt: skip


def ruled_tables(path: Path, pages: Sequence[int]) -> Iterator[tuple[int, list[Table]]]:
    """For each of the pages (from 1) its tables of at least two rows and two columns; none where a page cannot be analysed."""
    if not pages:
        return
    try:
        book = pdfplumber.open(path)
    except _ERRORS:
        return
    with book:
        for number in pages:
            try:
                page = book.pages[number - 1]
                tables = _tables(page)
                page.close()
            except _ERRORS:
                continue
            yield number, tables


def _tables(page: pdfplumber.page.Page) -> list[Table]:
    tables: list[Table] = []
    for table in page.find_tables():
        if len(table.cells) > MAX_CELLS:
            continue
        rows = [[cell or "" for cell in row] for row in table.extract()]
        if len(rows) > 1 and max(map(len, rows)) > 1 and any(any(row) for row in rows):
            left, top, right, bottom = table.bbox
            height = float(page.height)
            tables.append(Table(rows, left, height - bottom, right, height - top))
    return tables
