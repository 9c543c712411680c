"""Is a field of a row, or a parameter of a request, usable? Each check gives the cleaned value, or says which field, what is wrong and what would be right."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date

from django.utils.dateparse import parse_date, parse_datetime

from core.errors import InvalidRequest
from core.text import clean_answer, clean_text


def line_of(data: Mapping[str, object], name: str, most: int) -> str:
    """One line of text, empty where there is none."""
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be text.", field=name)
    if len(line := clean_text(value)) > most:
        raise InvalidRequest(f"`{name}` has {len(line)} characters; at most {most} are allowed.", field=name)
    return line


def text_of(data: Mapping[str, object], name: str, most: int) -> str:
    """A text of one line or many, which must be there."""
    value = data.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` is missing." if value is None else f"`{name}` must be text.", field=name)
    if not (text := clean_answer(value)):
        raise InvalidRequest(f"`{name}` is empty.", field=name)
    if len(text) > most:
        raise InvalidRequest(f"`{name}` has {len(text)} characters; at most {most} are allowed.", field=name)
    return text


def choice_of(data: Mapping[str, object], name: str, allowed: Sequence[str]) -> str | None:
    """One of the allowed values, None where there is none."""
    value = data.get(name)
    if value is None or value == "":
        return None
    if value not in allowed:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(allowed)}; it is {str(value)[:40]!r}.", field=name)
    return str(value)


def count_of(text: str, name: str, most: int) -> int:
    """A whole number from 1 to `most`."""
    if len(text) > 9 or not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise InvalidRequest(f"`{name}` must be a number from 1 to {most}.", field=name)
    return int(text)


def lines_of(data: Mapping[str, object], name: str, *, most: int, most_chars: int) -> tuple[str, ...]:
    """Different short texts, from a list or from one text with commas."""
    value = data.get(name)
    if isinstance(value, str):
        value = value.replace("，", ",").split(",")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidRequest(f"`{name}` must be a list of texts.", field=name)
    found = tuple(dict.fromkeys(line for one in value if (line := clean_text(one))))
    if len(found) > most or any(len(line) > most_chars for line in found):
        raise InvalidRequest(f"`{name}` takes at most {most} texts of {most_chars} characters.", field=name)
    return found


def day_of(data: Mapping[str, object], name: str) -> date | None:
    """A day, None where there is none; of a moment, the day that it states."""
    value = data.get(name)
    if value is None or value == "":
        return None
    text = clean_text(unicodedata.normalize("NFKC", value)).replace("/", "-") if isinstance(value, str) else ""
    try:
        day = parse_date(text) if len(text) <= 10 else parse_datetime(text)
    except (ValueError, OverflowError):
        day = None
    if day is None:
        raise InvalidRequest(f"`{name}` must be a date such as 2026-03-31 or 2026-03-31T18:00+08:00.", field=name)
    return date(day.year, day.month, day.day)
