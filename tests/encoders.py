"""A small, deterministic encoder for tests: texts that share words and letter pairs lie near each other."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from core.text import normalize
from core.types import EncodedQuery, FloatArray, Role


class HashingEncoder:
    """An Encoder without a model. `texts_encoded` counts what went through it."""

    def __init__(self, model_id: str = "hashing@1", dim: int = 64) -> None:
        self.model_id = model_id
        self.dim = dim
        self.texts_encoded = 0

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """float32[n, dim] with unit rows."""
        self.texts_encoded += len(texts)
        return np.stack([self._vector(text) for text in texts]) if texts else np.empty((0, self.dim), dtype=np.float32)

    def encode_query(self, text: str) -> EncodedQuery:
        """A question with its token vectors."""
        vector, tokens = self.encode_tokens([text], Role.QUERY)[0]
        return EncodedQuery(vector=vector, token_vectors=tokens, encoder=self.model_id, encode_ms=0.1)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
        """Each text's vector, and one vector for each of its pieces."""
        self.texts_encoded += len(texts)
        return [(self._vector(text), np.stack([self._one(piece) for piece in _pieces(text)])) for text in texts]

    def _vector(self, text: str) -> FloatArray:
        total = np.sum([self._one(piece) for piece in _pieces(text)], axis=0)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-6), dtype=np.float32)

    def _one(self, piece: str) -> FloatArray:
        return _direction(f"{self.model_id} {piece}", self.dim)


@lru_cache(maxsize=50_000)  # texts share most of their pieces, and making a generator of random numbers takes long
def _direction(seed: str, dim: int) -> FloatArray:
    """A unit vector that is the seed's for ever."""
    vector = np.random.default_rng(zlib.crc32(seed.encode())).standard_normal(dim)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _pieces(text: str) -> list[str]:
    """Words, and pairs of neighbouring letters, which is what Chinese has in place of words."""
    folded = normalize(text)
    return [*folded.split(), *(folded[at : at + 2] for at in range(len(folded) - 1))] or [text]
