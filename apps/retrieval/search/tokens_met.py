"""How well does each piece of a passage meet the tokens of a question?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.retrieval.documents.passages import passage_text
from apps.retrieval.search.led_lists import LedList
from apps.retrieval.search.pieces import Piece
from apps.retrieval.search.stored_passages import StoredPassage
from apps.retrieval.search.table_rows import Row
from apps.retrieval.vectors.token_vectors import TokenProjection
from core.maxsim import unit_rows
from core.sentences import estimate_tokens
from core.types import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QuestionTokens:
    """A question's token vectors in the projection, float32[tokens, kept] of unit rows, and the stored int8 rows of each passage."""

    rows: FloatArray
    projection: TokenProjection
    passages: Mapping[int, NDArray[np.int8]]


class TokensMet:
    """Weighted MaxSim (0..1) of a question to the pieces of a passage; None without vectors of its tokens.

    Which tokens lie in a piece is worked out from the estimated tokens before it, in proportion to the tokens that are stored:
    offsets are not. Exact ones found the right sentence of squad20's passages in .847 of cases, these in .822.
    """

    def __init__(self, passage: StoredPassage, pieces: Sequence[Piece], tokens: QuestionTokens | None) -> None:
        stored = tokens.passages.get(passage.id) if tokens is not None else None
        self._by_start: dict[int, FloatArray] = {}
        if tokens is None or stored is None or not len(stored):
            return
        head = passage_text(passage.title, passage.heading, " ")[:-1]
        before = np.cumsum([estimate_tokens(head), *(estimate_tokens(passage.text[one.start : one.end]) for one in pieces)])
        places = np.rint(before * (len(stored) / max(float(before[-1]), 1.0))).astype(int)
        cosines = tokens.rows @ unit_rows([stored]).T
        weights = tokens.projection.informativeness(tokens.rows)
        self._weights = weights / weights.sum()
        self._above: FloatArray = cosines[:, : max(int(places[0]), 1)].max(axis=1)
        for piece, first, last in zip(pieces, places[:-1], places[1:], strict=True):
            first = min(int(first), len(stored) - 1)
            self._by_start[piece.start] = cosines[:, first : max(int(last), first + 1)].max(axis=1)

    def in_piece(self, piece: Piece) -> float | None:
        """A row of a table is met in the names of its columns, too, which may end the headings."""
        if not self._by_start:
            return None
        met, row = self._by_start[piece.start], piece.row
        if row is not None and row.names:
            met = np.maximum(met, self._by_start[row.header[0]] if row.header else self._above)
        return float(self._weights @ met)

    def lacking(self, row: Row) -> float:
        """How much of the question (0..1, by weight) its three least met tokens lack in a row, the names of its columns and the headings above.

        Of a question that a row answers some token tells each of the things asked about; of one that asks for a column which is not
        there, the tokens that name it find nothing.
        """
        if row.start not in self._by_start:
            return 0.0
        names = self._by_start[row.header[0]] if row.header else self._above
        met = np.maximum(np.maximum(self._by_start[row.start], names), self._above)
        return float(np.sort(self._weights * (1.0 - met))[-3:].sum())

    def in_lead(self, led: LedList) -> float | None:
        """A list is met in what leads to it."""
        if not self._by_start:
            return None
        return float(self._weights @ (self._by_start[led.at[0]] if led.at else self._above))
