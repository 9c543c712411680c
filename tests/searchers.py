"""What an inference worker of a test searches instead of indexes: named in QA_WORKER_VECTORS."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import SearchUnavailable
from core.types import FloatArray, Hit, VectorSearch


class BehindAtFirst:
    """A VectorSearcher that has come far enough when it is asked for the third time; it then finds entry 7."""

    def __init__(self) -> None:
        self._asked = 0

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
        self._asked += 1
        if self._asked < 3:
            raise SearchUnavailable("Not yet.", reason=SearchUnavailable.BEHIND)
        return [[Hit(7, 1.0)] for _ in vectors]


class EverBehind:
    """A VectorSearcher that never comes far enough."""

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
        raise SearchUnavailable("Not yet.", reason=SearchUnavailable.BEHIND)


class Broken:
    """A VectorSearcher that breaks on everything."""

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> Sequence[list[Hit]]:
        raise ZeroDivisionError
