"""Which index object serves a kind of entry in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from core.backends import load_object
from core.config import get_settings
from core.protocols import LexicalIndex, VectorIndex
from core.types import EntryKind


class IndexPart(StrEnum):
    """The two indexes of a kind."""

    WORDS = "words"
    VECTORS = "vectors"


@dataclass(frozen=True, slots=True)
class IndexPair:
    """The two indexes that hold the same entries."""

    lexical: LexicalIndex
    vector: VectorIndex


_lock = threading.Lock()


@cache
def _make(kind: EntryKind) -> IndexPair:
    settings = get_settings()
    lexical: Callable[..., LexicalIndex] = load_object(settings.lexical_index)
    vector: Callable[..., VectorIndex] = load_object(settings.vector_index)
    return IndexPair(lexical=lexical(kind=kind), vector=vector(kind=kind))


def indexes_for(kind: EntryKind) -> IndexPair:
    """The process-wide pair for this kind, made on first use."""
    with _lock:
        return _make(kind)


def close_indexes() -> None:
    """Closes and forgets every index; at shutdown and between tests."""
    with _lock:
        for kind in EntryKind:
            if _make.cache_info().currsize:
                pair = _make(kind)
                for index in (pair.lexical, pair.vector):
                    close = getattr(index, "close", None)
                    if close is not None:
                        close()
        _make.cache_clear()
