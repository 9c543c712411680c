"""What does a parsed document look like? Blocks in reading order, and the facts that the file states about itself."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum


class BlockKind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One piece of a document. `level` is 1 to 6 for a heading and 0 else; `page` counts from 1 and is None where a format has none.

    The text of a table is one row a line, its cells joined by " | ", the header first; that of a list is one item a line.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedDocument:
    """What one file says. Facts that it does not state are empty; `warnings` are sentences about what could not be read.

    `scanned` are the pages that are pictures without text, of which nothing is known yet.
    """

    blocks: tuple[Block, ...]
    title: str = ""
    author: str = ""
    language: str = ""
    date: datetime.date | None = None
    media_type: str = ""
    warnings: tuple[str, ...] = ()
    scanned: tuple[int, ...] = ()
