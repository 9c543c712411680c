"""How FAQs lie in jsonl files: one JSON object a line, as the API has it."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import orjson

from apps.faq.raw_rows import MAX_COLUMNS, MAX_RECORD_CHARS, READABLE, Found, RawRow, unusable
from apps.faq.rows import FAQRow

MAX_LINE_BYTES = 4 * MAX_RECORD_CHARS
_BLOCK_BYTES = 1 << 20


def read_jsonl(file: BinaryIO, found: Found) -> Iterator[RawRow]:
    """The lines of a jsonl file; blank ones are passed over."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise unusable("it is UTF-16; jsonl must be UTF-8")
        if len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n"):
            _skip_line(file)
            yield RawRow(number, None, f"The line is longer than {MAX_LINE_BYTES} bytes.")
        elif line.strip():
            yield _json_row(number, line, found)


def write_jsonl(file: BinaryIO, rows: Iterable[FAQRow]) -> int:
    """Writes all rows. Returns how many."""
    count = 0
    for row in rows:
        file.write(orjson.dumps(row.as_dict(), option=orjson.OPT_APPEND_NEWLINE))
        count += 1
    return count


def _json_row(number: int, line: bytes, found: Found) -> RawRow:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return RawRow(number, None, f"The line is not JSON: {str(error)[:160]}.")
    if not isinstance(data, dict):
        return RawRow(number, None, f"The line must be one JSON object, not {_kind_of(data)}.")
    if len(found.ignored) < MAX_COLUMNS:
        found.ignored |= {key[:40] for key in data.keys() - set(READABLE)}
    return RawRow(number, data)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(_BLOCK_BYTES)) and not rest.endswith(b"\n"):
        pass


def _kind_of(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
