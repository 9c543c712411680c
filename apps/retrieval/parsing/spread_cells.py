"""How do the cells of an HTML table stand under their columns, where some reach over several rows or columns?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from lxml import etree

MAX_SPREAD = 10_000  # cells that are added to a page: it may state any reach
MAX_REPEATED_CHARS = 200


def spread_cells(root: Any) -> None:
    """Gives every row of every table a cell for each column: what reaches down is repeated, what reaches to the right is followed by empty cells.

    Tables that hold tables only place things on the page, and stay as they are.
    """
    left = MAX_SPREAD
    for table in root.iter("table"):
        if next(table.iterdescendants("table"), None) is None and any(_reach(cell) != (1, 1) for cell in table.iter("td", "th")):
            left -= _spread(table, left)


def _spread(table: Any, most: int) -> int:
    """How many cells were added, `most` at most."""
    added = 0
    reaching: dict[int, tuple[Any, int]] = {}  # by column: a cell of a row above, and how many rows it still reaches to
    for row in table.iter("tr"):
        column = 0
        for cell in [cell for cell in row if cell.tag in ("td", "th")]:
            for other in _taken(reaching, column):
                if added >= most:
                    return added
                cell.addprevious(other)
                column, added = column + 1, added + 1
            down, right = _reach(cell)
            right = min(right, most - added + 1)
            if down > 1:
                reaching |= {column + at: (cell if at == 0 else None, down) for at in range(right)}
            for _ in range(right - 1):
                cell.addnext(etree.Element(cell.tag))
            column, added = column + right, added + right - 1
        for other in islice(_taken(reaching, column), most - added):
            row.append(other)
            added += 1
        reaching = {at: (cell, rows - 1) for at, (cell, rows) in reaching.items() if rows > 1}
    return added


def _taken(reaching: dict[int, tuple[Any, int]], column: int) -> Iterator[Any]:
    """Copies of the cells that reach from above into this column and those right after it; this row's own are not among them."""
    while column in reaching:
        cell, _ = reaching[column]
        copy = etree.Element("td")
        if cell is not None:
            text = " ".join("".join(cell.itertext()).split())
            copy.text = text if len(text) <= MAX_REPEATED_CHARS else ""
        yield copy
        column += 1


def _reach(cell: Any) -> tuple[int, int]:
    """(rows, columns) that a cell reaches over."""
    return _count(cell.get("rowspan")), _count(cell.get("colspan"))


def _count(said: str | None) -> int:
    return min(max(int(said), 1), 1_000) if said and said.strip().isascii() and said.strip().isdigit() and len(said) < 9 else 1
