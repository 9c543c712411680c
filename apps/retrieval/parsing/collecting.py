"""How do parsers gather blocks without exceeding what a document may hold?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from apps.retrieval.parsing.parsed import Block, BlockKind
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.two_line_headers import JUDGED_ROWS, merged_header
from core.text import plain_han

MAX_WARNINGS = 20
_SPACE = re.compile(r"[^\S\n]+")
_ANY_SPACE = re.compile(r"\s+")


class BlockCollector:
    """Blocks in reading order; raises UnreadableFile as soon as they hold more characters than the limits allow."""

    def __init__(self, limits: ParseLimits) -> None:
        self.limits = limits
        self.blocks: list[Block] = []
        self.warnings: list[str] = []
        self._chars = 0

    def heading(self, text: str, level: int, page: int | None = None) -> None:
        self._add(BlockKind.HEADING, _ANY_SPACE.sub(" ", text).strip(), page, min(6, max(1, level)))

    def paragraph(self, text: str, page: int | None = None) -> None:
        self._add(BlockKind.PARAGRAPH, _lines(text), page)

    def items(self, items: Iterable[str], page: int | None = None) -> None:
        """A list, one item a line."""
        self._add(BlockKind.LIST, "\n".join(filter(None, (_ANY_SPACE.sub(" ", item).strip() for item in items))), page)

    def item(self, text: str, page: int | None = None) -> None:
        """One more item of the list that ends the blocks, or the first of a new one."""
        item = plain_han(_ANY_SPACE.sub(" ", text).strip())
        last = self.blocks[-1] if self.blocks else None
        if item and last is not None and last.kind is BlockKind.LIST and last.page == page and len(last.text) < 2_000:
            self._count(len(item) + 1)
            self.blocks[-1] = Block(kind=BlockKind.LIST, text=f"{last.text}\n{item}", page=page)
        else:
            self._add(BlockKind.LIST, item, page)

    def table(self, rows: Iterable[Sequence[object]], page: int | None = None) -> None:
        """A table; empty rows and empty cells at a row's end are left out. A separator within a cell becomes a slash, and a header of two lines one line."""
        lines: list[str] = []
        first: list[list[str]] = []
        pending = 0
        for row in rows:
            cells = [_cell(cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                lines.append(" | ".join(cells))
                first += [cells] if len(first) < JUDGED_ROWS else []
                pending += len(lines[-1])
                if self._chars + pending > self.limits.max_chars:
                    self._count(pending)
        if header := merged_header(first):
            lines[:2] = [" | ".join(header)]
        self._add(BlockKind.TABLE, "\n".join(lines), page)

    def code(self, text: str, page: int | None = None) -> None:
        self._add(BlockKind.CODE, text.strip("\n"), page)

    def warn(self, sentence: str) -> None:
        """Notes what could not be read; the first ones are kept."""
        if sentence not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(sentence)

    def _add(self, kind: BlockKind, text: str, page: int | None, level: int = 0) -> None:
        if text and not text.isspace():
            self._count(len(text))
            self.blocks.append(Block(kind=kind, text=plain_han(text), level=level, page=page))

    def _count(self, chars: int) -> None:
        self._chars += chars
        if self._chars > self.limits.max_chars:
            raise UnreadableFile(Reason.TOO_MUCH_TEXT, f"it holds more than {self.limits.max_chars:,} characters of text")


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in _SPACE.sub(" ", text).splitlines() if line.strip())


def _cell(cell: object) -> str:
    return "" if cell is None else _ANY_SPACE.sub(" ", str(cell)).strip().replace(" | ", " / ")
