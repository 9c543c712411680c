"""What are the blocks of a text that says nothing of its structure? Its paragraphs."""

from __future__ import annotations

import re

from apps.retrieval.parsing.parsed import Block, BlockKind

_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")


def blocks_of_text(text: str) -> tuple[Block, ...]:
    """A paragraph for each run of lines between blank ones."""
    return tuple(Block(kind=BlockKind.PARAGRAPH, text=part) for part in _BLANK_LINES.split(text) if part.strip())
