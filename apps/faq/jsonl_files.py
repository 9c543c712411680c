"""How FAQs lie in jsonl files: one JSON object a line, as the API has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import orjson

from apps.faq.raw_rows import MAX_RECORD_CHARS, READABLE
from apps.faq.rows import FAQRow
from apps.retrieval.rows.raw_rows import Found, RawRow
from apps.retrieval.rows.raw_rows import read_jsonl as read_rows


def read_jsonl(file: BinaryIO, found: Found) -> Iterator[RawRow]:
    """The lines of a jsonl file; blank ones are passed over."""
    return read_rows(file, found, readable=READABLE, max_line_bytes=4 * MAX_RECORD_CHARS)


def write_jsonl(file: BinaryIO, rows: Iterable[FAQRow]) -> int:
    """Writes all rows. Returns how many."""
    count = 0
    for row in rows:
        file.write(orjson.dumps(row.as_dict(), option=orjson.OPT_APPEND_NEWLINE))
        count += 1
    return count
