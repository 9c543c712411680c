"""Which lists does a passage hold, and what leads to each? Items say little without the heading or the line that they stand under."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apps.retrieval.search.table_rows import line_blocks
from core.sentences import is_heading

MAX_LIST_CHARS, MAX_ITEM_CHARS = 600, 150
_MARK = re.compile(r"\s*(?:[-*•·–▪◦○●]\s|\(?\d{1,2}[.)、）]|[①-⑳]|（?[一二三四五六七八九十]+[、）])")
_COLONS, _ENDS = (":", "："), "。！？!?.；;"
_WRAPPED_COLUMNS, _ALIKE_COLUMNS = 45, 6  # a Chinese character takes two
_PATH_JOIN = " > "  # as `documents.chunking` joins headings


@dataclass(frozen=True, kw_only=True, slots=True)
class LedList:
    """`text[start:end]` of a passage: two items or more. `lead` leads to them; `at` is its span, None where it is the passage's heading."""

    start: int
    end: int
    items: str
    lead: str
    at: tuple[int, int] | None

    @property
    def shown(self) -> str:
        """The lead and the items, a line each."""
        return f"{self.lead}\n{self.items}"

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """What of the passage's text `shown` says word for word."""
        items = (self.end - len(self.items), self.end)
        return (self.at, items) if self.at else (items,)


def led_lists(text: str, heading: str) -> Iterator[LedList]:
    """The lists in order. A list under nothing that leads to it is not among them, nor are rows of tables and the lines of wrapped prose."""
    before: tuple[int, int] | None = None
    for number, lines in enumerate(line_blocks(text)):
        lead = lines[0] if text[slice(*lines[0])].endswith(_COLONS) else None
        items = _fitting(lines[1:] if lead else lines)
        if len(items) > 1 and _are_items([text[start:end] for start, end in items]):
            above = heading.rsplit(_PATH_JOIN, 1)[-1] if number == 0 else ""
            if lead or before:
                yield _led(text, lead or before, items)
            elif above and " | " not in above:
                start, end = items[0][0], items[-1][1]
                yield LedList(start=start, end=end, items=text[start:end], lead=above, at=None)
        before = lines[0] if len(lines) == 1 and _leads(text, *lines[0]) else None


def _led(text: str, lead: tuple[int, int] | None, items: Sequence[tuple[int, int]]) -> LedList:
    assert lead is not None
    end = items[-1][1]
    return LedList(start=lead[0], end=end, items=text[items[0][0] : end], lead=text[slice(*lead)], at=lead)


def _leads(text: str, start: int, end: int) -> bool:
    """Whether a line that stands alone leads to what follows."""
    return text[start:end].endswith(_COLONS) or is_heading(text, start, end)


def _fitting(lines: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """As many of the first lines as can be shown."""
    return [line for line in lines if line[1] - lines[0][0] <= MAX_LIST_CHARS]


def _are_items(lines: Sequence[str]) -> bool:
    """Whether lines are items: they have marks, or they are short, end alike, and are not the lines of one wrapped text."""
    if all(map(_MARK.match, lines)):
        return True
    if any(len(line) > MAX_ITEM_CHARS or line[0].islower() or " | " in line or line.lstrip()[0] == "|" for line in lines):
        return False
    if all(line[-1] in _ENDS for line in lines):
        return True
    widths = [sum(1 + (char > "\u2e7f") for char in line) for line in lines]
    if min(widths[:-1]) >= _WRAPPED_COLUMNS and max(widths[:-1]) - min(widths[:-1]) <= _ALIKE_COLUMNS and widths[-1] <= max(widths[:-1]):
        return False
    return not any(line[-1] in _ENDS for line in lines)
