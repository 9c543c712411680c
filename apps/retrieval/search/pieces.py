"""Which pieces of a passage can be shown as an answer? Its sentences, and the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apps.retrieval.search.table_rows import Row, Tables, read_tables
from core.sentences import sentence_spans

MAX_SENTENCE_CHARS = 600
MAX_ROW_CHARS = 400  # a longer row is read by the sentences of its cells


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """`text[start:end]` of a passage: a row of a table, or a sentence. What only names columns is `apart`: it answers nothing by itself."""

    start: int
    end: int
    row: Row | None = None
    apart: bool = False


def pieces_of(text: str, heading: str) -> list[Piece]:
    """The pieces in order; together they hold every visible character, but for bars between long cells."""
    return list(_pieces(text, read_tables(text, heading)))


def _pieces(text: str, tables: Tables) -> Iterator[Piece]:
    """The lines of tables, and the sentences of what lies between them."""
    apart = [Piece(start=start, end=end, apart=True) for start, end in tables.apart]
    done = 0
    for line in sorted([*(Piece(start=row.start, end=row.end, row=row) for row in tables.rows), *apart], key=lambda one: one.start):
        yield from _sentences(text, done, line.start)
        yield from _sentences_of_cells(text, line.row) if line.row and line.end - line.start > MAX_ROW_CHARS else [line]
        done = line.end
    yield from _sentences(text, done, len(text))


def _sentences_of_cells(text: str, row: Row) -> Iterator[Piece]:
    """A row too long to read at once: what stands in its cells."""
    for cell in row.cells:
        if cell.start >= row.start:
            yield from _sentences(text, cell.start, cell.end)


def _sentences(text: str, start: int, end: int) -> Iterator[Piece]:
    """The sentences between two places; of one that is too long to show, its pieces."""
    for first, last in sentence_spans(text[start:end]):
        for at in range(start + first, start + last, MAX_SENTENCE_CHARS):
            yield Piece(start=at, end=min(at + MAX_SENTENCE_CHARS, start + last))
