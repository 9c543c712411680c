"""Which file format FAQs come in, and where its reader and writer are."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import PurePath
from typing import BinaryIO

from apps.faq.csv_files import read_csv, write_csv
from apps.faq.jsonl_files import read_jsonl, write_jsonl
from apps.faq.rows import FAQRow
from apps.faq.xlsx_files import read_xlsx, write_xlsx
from apps.retrieval.rows.raw_rows import Found, RawRow, unusable

_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".xlsx": "xlsx", ".xlsm": "xlsx", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class FileFormat(StrEnum):
    """The formats that FAQs come and go in."""

    CSV = "csv"
    XLSX = "xlsx"
    JSONL = "jsonl"


def format_of(file: BinaryIO, name: str) -> FileFormat:
    """The format by the name's ending, else by the content. Raises InvalidRequest where the two disagree."""
    file.seek(0)
    head = file.read(2048)
    file.seek(0)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise unusable("this is an old (.xls) or an encrypted Excel workbook: save it as .xlsx without a password")
    named = _SUFFIXES.get(PurePath(name).suffix.lower())
    zipped = head.startswith(b"PK\x03\x04")
    if zipped and named not in (None, "xlsx"):
        raise unusable(f"its name ends in {PurePath(name).suffix}, but it is an Excel workbook: name it .xlsx")
    if named:
        return FileFormat(named)
    if zipped:
        return FileFormat.XLSX
    return FileFormat.JSONL if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{") else FileFormat.CSV


def read_rows(file: BinaryIO, file_format: FileFormat, found: Found) -> Iterator[RawRow]:
    """The rows in order, with constant memory. Raises InvalidRequest, before the first row, where the file is of no use."""
    file.seek(0)
    return {FileFormat.CSV: read_csv, FileFormat.XLSX: read_xlsx, FileFormat.JSONL: read_jsonl}[file_format](file, found)


def write_rows(file: BinaryIO, file_format: FileFormat, rows: Iterable[FAQRow]) -> int:
    """Writes rows as they come, and returns how many. What is read again is the same row for row."""
    return {FileFormat.CSV: write_csv, FileFormat.XLSX: write_xlsx, FileFormat.JSONL: write_jsonl}[file_format](file, rows)


def format_named(name: str) -> FileFormat:
    """The format that a file to be written should have, by its ending."""
    suffix = PurePath(name).suffix.lower()
    if suffix not in _SUFFIXES:
        raise unusable(f"{suffix or 'no ending'} is none of {', '.join(_SUFFIXES)}; name the format")
    return FileFormat(_SUFFIXES[suffix])
