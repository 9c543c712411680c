"""How well do a passage's token vectors meet a question's? A reranker for those who have an encoder and nothing else (MaxSim)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.maxsim import maxsim
from core.types import FloatArray, Role
from workers.pending import Pending

CACHE_BYTES = 64 * 2**20

Key: TypeAlias = tuple[str, str]
Tokens: TypeAlias = NDArray[np.float16]
PendingTokens: TypeAlias = Pending[Sequence[FloatArray]]
BeginEncoding: TypeAlias = Callable[[Sequence[str], Role], PendingTokens]


class LateInteraction:
    """Scores -1..1: the mean over a question's tokens of each one's best cosine in the passage; 0 where either is empty.

    Passages meet many questions, so the token vectors of those read last are kept, up to `cache_bytes`, as float16.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._passages = _PassageCache(cache_bytes)

    def begin(self, query: str, passages: Sequence[str], encoder_id: str, begin_encoding: BeginEncoding) -> Pending[FloatArray]:
        """The scores under way, float32[n]. `begin_encoding` hands texts to the encoder `encoder_id`."""
        known = {passage: found for passage in passages if (found := self._passages.get((encoder_id, passage))) is not None}
        unknown = [passage for passage in dict.fromkeys(passages) if passage not in known]
        asked = begin_encoding([query], Role.QUERY)
        read: PendingTokens = begin_encoding(unknown, Role.PASSAGE) if unknown else Pending(tuple)

        def scores() -> FloatArray:
            for passage, tokens in zip(unknown, read.make(), strict=True):
                known[passage] = self._passages.put((encoder_id, passage), tokens)
            (query_tokens,) = asked.make()
            return maxsim(query_tokens, [known[passage] for passage in passages])

        return Pending(scores, [*asked.futures, *read.futures])


class _PassageCache:
    """Token vectors by encoder and text, least recently used ones forgotten first; safe for many threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Key, Tokens] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Tokens | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: Key, tokens: FloatArray) -> Tokens:
        kept = tokens.astype(np.float16)
        with self._lock:
            replaced = self._entries.pop(key, None)
            self._entries[key] = kept
            self._bytes += kept.nbytes - (0 if replaced is None else replaced.nbytes)
            while self._bytes > self._max_bytes:
                self._bytes -= self._entries.popitem(last=False)[1].nbytes
        return kept
