"""How one text gets from the loop that writes it to its reader: chunks in order, as one where the reader lags."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from core.errors import QAError
from core.protocols import Chunk


class TextStream:
    """The reader's end of one text. Iterate over it once; leaving the iteration lets the text go."""

    def __init__(self) -> None:
        self._chunks: SimpleQueue[Chunk | QAError] = SimpleQueue()
        self.abandoned = False
        self.ended_at: float | None = None

    def put(self, item: Chunk | QAError) -> None:
        """For the loop: the next chunk, or why there is none. `ended_at`, in seconds of the epoch, is when its place was free."""
        if isinstance(item, QAError) or item.finish_reason is not None:
            self.ended_at = time.time()
        self._chunks.put(item)

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks to the last; what came while the reader was busy comes as one. Raises what ended the text early."""
        try:
            while True:
                item = self._merged(self._chunks.get())
                if isinstance(item, QAError):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            self.abandoned = True

    def take_now(self) -> Chunk | QAError | None:
        """For whoever sends the text on: what came since the last time as one, None where nothing did."""
        try:
            return self._merged(self._chunks.get_nowait())
        except Empty:
            return None

    def _merged(self, item: Chunk | QAError) -> Chunk | QAError:
        """The item with the chunks that wait behind it; an error is left to the next turn where text came before it."""
        while isinstance(item, Chunk) and item.finish_reason is None:
            try:
                following = self._chunks.get_nowait()
            except Empty:
                return item
            if isinstance(following, QAError):
                self._chunks.put(following)
                return item
            item = Chunk(text=item.text + following.text, finish_reason=following.finish_reason, usage=following.usage)
        return item
