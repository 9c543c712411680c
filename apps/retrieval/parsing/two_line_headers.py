"""Do the first two rows of a table name its columns together, "2024" over "Q1" and "Q2"? Then one line of "2024 / Q1" does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

JUDGED_ROWS = 6  # the first ones of a table tell how it is headed
# What may name a column though it has digits: a year, a quarter, a month, a day, a week, a grade.
_NAME_WITH_DIGITS = re.compile(
    r"(?:19|20)\d\d(?:\s?年度?|/\d\d)?|[^\W\d_]{1,4}\.?\s?\d{1,2}|\d{1,2}(?:st|nd|rd|th)(?:\s[^\W\d_]+)?"
    r"|第?[一二三四五六七八九十\d]{1,3}\s?(?:月份?|季度|周|日|期|档|级|类)"
)
_HAS_DIGIT = re.compile(r"\d")
_UNIT = re.compile(r"\d\s?(?:kg|g|mg|cm|mm|m|km|l|ml|w|kw|v|h|min|s|gb|mb|tb|eur|usd|days?|hours?|weeks?|months?|years?)", re.I)


def merged_header(rows: Sequence[Sequence[str]]) -> list[str] | None:
    """The names that the first two rows give the columns; None where the second one is a row like those below it.

    They are a header where cells of the first reach over several of the second (which leaves empty cells in the first, to the right
    of what reaches), every cell of the second says a name, the first column has one name at most, and something below looks otherwise.
    """
    if len(rows) < 3 or len(rows[1]) < 3 or len(rows[0]) > len(rows[1]):
        return None
    top, second = [*rows[0], *[""] * (len(rows[1]) - len(rows[0]))], rows[1]
    over = _above(top, second)
    reaching = [len(list(cells)) for _, cells in groupby(at for at in over if at is not None)]
    if max(reaching, default=0) < 2 or _are_two_names(top[0], second[0]):
        return None
    below = [row for row in rows[2:] if row]
    under = [at for at, owner in enumerate(over) if owner is not None]
    if not all(_is_name(second[at]) for at in under) or not any(_looks_otherwise(second[at], at, below) for at in under):
        return None
    return [_joined(top[owner] if owner is not None else top[at], second[at]) for at, owner in enumerate(over)]


def _above(top: Sequence[str], second: Sequence[str]) -> list[int | None]:
    """For each column of the second row the one of the first whose cell stands above it, None where that cell is its own.

    A cell that reaches down stands in both rows, or in the first one alone: it reaches over nothing.
    """
    over: list[int | None] = []
    owner: int | None = None
    for at, cell in enumerate(second):
        if top[at]:
            owner = at if cell and cell != top[at] else None
        elif not cell:
            owner = None
        over.append(owner if at else None)
    return over


def _are_two_names(first: str, second: str) -> bool:
    """Whether two cells of the first column say different things: then the second row has a key, as rows below headers do."""
    return bool(first and second) and first != second


def _is_name(cell: str) -> bool:
    return bool(cell) and not _UNIT.search(cell) and (not _HAS_DIGIT.search(cell) or _NAME_WITH_DIGITS.fullmatch(cell) is not None)


def _looks_otherwise(name: str, column: int, below: Sequence[Sequence[str]]) -> bool:
    """Whether most cells below have digits where the name has none, or are no names with digits."""
    cells = [row[column] for row in below if column < len(row) and row[column]]
    return sum(bool(_HAS_DIGIT.search(cell)) and (not _HAS_DIGIT.search(name) or not _is_name(cell)) for cell in cells) * 2 > len(cells)


def _joined(top: str, name: str) -> str:
    return " / ".join(dict.fromkeys(filter(None, (top, name))))
