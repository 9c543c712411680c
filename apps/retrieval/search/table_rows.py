"""Which lines of a passage are rows of a table, and what stands in their cells under which names?

Passages keep tables as lines of cells between bars (`parsing.parsed.Block`), also those that a text wrote so itself in the way of
Markdown. Whether a line is the header is not stored: it is told by how its cells look beside those below them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from apps.retrieval.parsing.two_line_headers import JUDGED_ROWS, merged_header
from core.text import guess_locale
from core.types import Locale

_BAR = re.compile(r"(?:(?<=\s)|^)\|(?=\s|$)")
_DIVIDER = re.compile(r"\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?")
_YEAR = re.compile(r"(?:19|20)\d\d\s?年?")
_TOTAL = re.compile(r"(?:sub)?totals?\b|sum\b|合计|总计|小计|共计|合計|總計|小計", re.I)
_NAMES_OF_VALUES = frozenset(
    [
        "value",
        "values",
        "details",
        "detail",
        "description",
        "specification",
        "specifications",
        "data",
        "content",
        "information",
        "answer",
        "amount",
        "值",
        "数值",
        "内容",
        "参数",
        "参数值",
        "说明",
        "详情",
        "规格",
        "描述",
        "数据",
        "明细",
        "要求",
        "标准",
        "结果",
    ]
)
_PATH_JOIN = " > "  # as `documents.chunking` joins headings


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell, `text[start:end]` of its passage, and the name of its column, "" where that has none."""

    start: int
    end: int
    text: str
    name: str = ""

    @property
    def shown(self) -> str:
        """The cell under its name."""
        return f"{self.name}{_colon(self.name + self.text)}{self.text}" if self.name else self.text


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row, `text[start:end]` of its passage. `header` is the header's span where it stands in the passage, `table` tells tables apart.

    A row without names is a pair, "Weight | 2 kg", or of a table without a header.
    """

    start: int
    end: int
    table: int
    cells: tuple[Cell, ...]
    header: tuple[int, int] | None = None

    @property
    def names(self) -> str:
        """The names of its columns."""
        return " ".join(cell.name for cell in self.cells if cell.name)

    @property
    def shown(self) -> str:
        """The row as a reader understands it without the table: every cell under its name."""
        cells = [cell for cell in self.cells if cell.text]
        if len(cells) == 2 and not self.names:
            key = cells[0].text.rstrip(" :：")
            return f"{key}{_colon(key + cells[1].text)}{cells[1].text}"
        return _semicolon("".join(cell.text + cell.name for cell in cells)).join(cell.shown for cell in cells)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """What `shown` says word for word, in the order of the text."""
        return tuple(sorted({(cell.start, cell.end) for cell in self.cells if cell.text}))


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of a passage, and the lines (start, end) that only name columns or part rows, in the order of the text."""

    rows: tuple[Row, ...] = ()
    apart: tuple[tuple[int, int], ...] = ()


def read_tables(text: str, heading: str) -> Tables:
    """The tables of a passage; one that continues from the passage before has its header at the end of the heading."""
    if "|" not in text:
        return Tables()
    found = [_read_block(text, lines, "" if number else heading, number) for number, lines in enumerate(line_blocks(text))]
    return Tables(tuple(row for one in found for row in one.rows), tuple(line for one in found for line in one.apart))


def line_blocks(text: str) -> list[list[tuple[int, int]]]:
    """(start, end) of the lines of each block between blank lines, without the white space around them."""
    blocks: list[list[tuple[int, int]]] = [[]]
    at = 0
    for line in text.split("\n"):
        if line.strip():
            blocks[-1].append(_trimmed(text, at, at + len(line)))
        elif blocks[-1]:
            blocks.append([])
        at += len(line) + 1
    return [block for block in blocks if block]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    line = text[start:end]
    return start + len(line) - len(line.lstrip()), end - (len(line) - len(line.rstrip()))


def _read_block(text: str, lines: Sequence[tuple[int, int]], heading: str, table: int) -> Tables:
    dividers = [start for start, end in lines if _DIVIDER.fullmatch(text, start, end) and "|" in text[start:end]]
    cells = {start: _cells(text, start, end) for start, end in lines if start not in dividers}
    rows = {start: row for start, row in cells.items() if len(row) > 1}
    above = _names_above(heading, max(map(len, rows.values()), default=0))
    if not rows or len(rows) * 2 < len(cells) or (len(rows) < 2 and not above and not dividers):
        return Tables()
    first, *others = rows.values()
    ends, below = dict(lines), list[tuple[int, int]]()
    if not dividers and above and [cell.text for cell in first] != above:
        names, header = (above if names_columns(above, [[cell.text for cell in row] for row in rows.values()]) else []), None
    elif two := merged_header([[cell.text for cell in row] for row in list(rows.values())[:JUDGED_ROWS]]):
        at, second = list(rows)[:2]
        names, header = two, (at, ends[at])
        rows = {start: row for start, row in rows.items() if start not in (at, second)}
        below = [(second, ends[second])]
    elif dividers or names_columns([cell.text for cell in first], [[cell.text for cell in row] for row in others]):
        at = next(iter(rows))
        names, header = [cell.text for cell in first], (at, ends[at])
        rows.pop(at)
    else:
        names, header = [], None
    apart = sorted([*((start, ends[start]) for start in dividers), *([header] if header else []), *below])
    return Tables(tuple(_named(rows, names, header, ends, table)), tuple(apart))


def _named(
    rows: Mapping[int, Sequence[Cell]], names: Sequence[str], header: tuple[int, int] | None, ends: Mapping[int, int], table: int
) -> Iterator[Row]:
    """The rows with the names of their columns; an empty first cell means what the one above it says, as merged cells do."""
    named = [name.rstrip(" :：") for name in names]
    group: Cell | None = None
    for start, cells in rows.items():
        cells = [replace(cell, name=named[at] if at < len(named) else "") for at, cell in enumerate(cells)]
        if cells[0].text:
            group = cells[0]
        elif group is not None and names and not _TOTAL.match(next((cell.text for cell in cells if cell.text), "")):
            cells[0] = group
        yield Row(start=start, end=ends[start], table=table, cells=tuple(cells), header=header)


def _cells(text: str, start: int, end: int) -> list[Cell]:
    """The cells between the bars of a line; bars around a whole line, as Markdown has them, bound no cells of their own."""
    line = text[start:end]
    closed = len(line) > 1 and line[0] == line[-1] == "|"
    bars = [at for at, char in enumerate(line) if char == "|"] if closed else [bar.start() for bar in _BAR.finditer(line)]
    edges = [-1, *bars, len(line)]
    spans = [(edges[at] + 1, edges[at + 1]) for at in range(len(edges) - 1)]
    cells = []
    for first, last in spans[1:-1] if closed else spans:
        begin, stop = _trimmed(line, first, last) if line[first:last].strip() else (first, first)
        cells.append(Cell(start + begin, start + stop, line[begin:stop]))
    return cells


def _names_above(heading: str, width: int) -> list[str]:
    """The cells of the header that ends a path of headings; a heading may hold what joins them."""
    parts = heading.split(_PATH_JOIN)
    for count in range(1, len(parts) + 1):
        line = _PATH_JOIN.join(parts[-count:])
        cells = [cell.text for cell in _cells(line, 0, len(line))]
        if len(cells) > 1 and (len(cells) >= width or count == len(parts)):
            return cells
    return []


def names_columns(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether a row names columns: its cells do not look like those below them. Two columns of words are taken for pairs.

    What a cell looks like is its letters and digits without which ones: numbers, prices and codes of one column look alike.
    """
    if not others or not first[0].strip():
        return bool(others)
    columns = [[row[at] for row in others if at < len(row) and row[at]] for at in range(len(first))]
    usual = [Counter(map(_look, column)).most_common(1)[0] if column else ("", 0) for column in columns]
    if len(first) == 2 and max(map(len, others)) == 2:
        look, count = usual[1]
        like_each_other = "9" in look and count * 2 > len(columns[1])
        return not _has_number(first[1]) and (like_each_other or first[1].casefold() in _NAMES_OF_VALUES)
    told = [at for at, (look, count) in enumerate(usual) if "9" in look and first[at]]
    return sum(_look(first[at]) == usual[at][0] and _has_number(first[at]) for at in told) * 2 <= len(told)


def _has_number(cell: str) -> bool:
    return any(char.isdigit() for char in cell) and not _YEAR.fullmatch(cell)


def _look(cell: str) -> str:
    """ "€1,299.00" as "€9", "P1001" as "a9": runs of digits and of letters are one sign each."""
    signs = ("9" if char.isdigit() else "a" if char.isalpha() else char for char in re.sub(r"(?<=\d)[.,:](?=\d)|\s", "", cell))
    return "".join(sign for sign, _ in groupby(signs))


def _colon(text: str) -> str:
    return "：" if guess_locale(text) is Locale.ZH else ": "


def _semicolon(text: str) -> str:
    return "；" if guess_locale(text) is Locale.ZH else "; "


def telling_terms(rows: Sequence[frozenset[str]], terms: frozenset[str]) -> list[frozenset[str]]:
    """Which of the question's terms tell each row of a table apart, given the terms of its rows: those that at most half of the rows have."""
    had = Counter(term for row in rows for term in terms.intersection(row))
    return [frozenset(term for term in terms.intersection(row) if had[term] * 2 <= len(rows) + 1) for row in rows]
