"""Which questions were asked before: their vectors, least recently used ones forgotten first, bounded in entries and bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.types import FloatArray

BYTES_PER_ENTRY = 16 * 1024


@dataclass(frozen=True, slots=True)
class CachedVectors:
    """A question's vector float32[dim] and its token vectors float16[tokens, dim]."""

    vector: FloatArray
    token_vectors: NDArray[np.float16]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.vector.nbytes + self.token_vectors.nbytes


class EmbeddingCache:
    """Safe for many threads. Holds at most `max_entries` questions, and 16 KiB for each of them on average: long questions
    have hundreds of token vectors, and the bytes are what runs out."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_entries * BYTES_PER_ENTRY
        self._entries: OrderedDict[str, CachedVectors] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, text: str) -> CachedVectors | None:
        """The vectors of `text`, which counts as used now."""
        with self._lock:
            found = self._entries.get(text)
            if found is not None:
                self._entries.move_to_end(text)
            return found

    def put(self, text: str, vectors: CachedVectors) -> None:
        """Remembers `text`; forgets what was not used for longest until it fits."""
        if vectors.size > self._max_bytes:
            return
        with self._lock:
            self._forget(text)
            self._entries[text] = vectors
            self._bytes += vectors.size
            while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
                self._forget(next(iter(self._entries)))

    def _forget(self, text: str) -> None:
        forgotten = self._entries.pop(text, None)
        if forgotten is not None:
            self._bytes -= forgotten.size

    def __len__(self) -> int:
        return len(self._entries)
