"""What does a file of rows hold? The row as it was found, and how the lines of a jsonl file are read with constant memory."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import orjson

from apps.retrieval.rows.json_faults import json_fault
from core.errors import InvalidRequest

MAX_IGNORED = 64
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it was found. `number` counts as a spreadsheet does (the header is row 1; in jsonl, the line).

    `data` is what is checked next, or None where the row could not even be read; then `problem` says why.
    """

    number: int
    data: object
    problem: str = ""


@dataclass(slots=True)
class Found:
    """What a reader noticed besides the rows; complete once all rows were read."""

    encoding: str = "utf-8"
    ignored: set[str] = field(default_factory=set)


def unusable(reason: str) -> InvalidRequest:
    """The refusal of a whole file."""
    return InvalidRequest(f"The file cannot be used: {reason}.", field="file")


def read_jsonl(file: BinaryIO, found: Found, *, readable: Collection[str], max_line_bytes: int) -> Iterator[RawRow]:
    """The lines of a jsonl file; blank ones are passed over. `readable` are the names that count, others are noted in `found`.

    Raises InvalidRequest, before the first row, where the file is of no use.
    """
    number = 0
    while line := file.readline(max_line_bytes):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise unusable("it is UTF-16; jsonl must be UTF-8")
        if len(line) >= max_line_bytes and not line.endswith(b"\n"):
            _skip_line(file)
            yield RawRow(number, None, f"The line is longer than {max_line_bytes} bytes.")
        elif line.strip():
            yield _json_row(number, line, found, readable)


def _json_row(number: int, line: bytes, found: Found, readable: Collection[str]) -> RawRow:
    try:
        data = orjson.loads(line.rstrip(b"\r\n"))  # the end of a line in an open text would pass for what is wrong with it
    except orjson.JSONDecodeError as error:
        return RawRow(number, None, f"The line is not JSON: {json_fault(error)}.")
    if not isinstance(data, dict):
        return RawRow(number, None, f"The line must be one JSON object, not {_kind_of(data)}.")
    if len(found.ignored) < MAX_IGNORED:
        found.ignored |= {key[:40] for key in data.keys() - set(readable)}
    return RawRow(number, data)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(_BLOCK_BYTES)) and not rest.endswith(b"\n"):
        pass


def _kind_of(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
