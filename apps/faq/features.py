"""How alike are a question and a stored phrasing? One row of named numbers a pair, each explainable by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.types import FloatArray

PAIR_FEATURES = ("cosine", "bm25")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question as features see it: its text and, where the encoder gives them, token vectors float32[tokens, dim] of unit rows."""

    text: str
    tokens: FloatArray | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A stored phrasing that may be what was asked.

    `cosine` to the question is None where no vectors are at hand; `bm25` is normalised (0..1); `tokens` are its token
    vectors float32[tokens, dim] of unit rows, or None where they are not stored.
    """

    faq_id: int
    phrasing_id: int
    text: str
    cosine: float | None
    bm25: float
    tokens: FloatArray | None = None


def pair_features(asked: Asked, candidates: Sequence[Candidate]) -> FloatArray:
    """float32[candidates, len(PAIR_FEATURES)] in the order of both; what is not known counts as 0."""
    rows = [[candidate.cosine or 0.0, candidate.bm25] for candidate in candidates]
    return np.array(rows, dtype=np.float32).reshape(len(candidates), len(PAIR_FEATURES))
