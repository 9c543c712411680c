"""How one text gets from the loop that writes it to its reader: chunks in order, as one where the reader lags."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from core.errors import QAError
from core.protocols import Chunk

Item = Chunk | QAError


class TextStream:
    """The reader's end of one text. Iterate over it once; leaving the iteration lets the text go.

    `on_news` is called after each `put`, by the loop's thread: it must be quick.
    """

    def __init__(self) -> None:
        self._items: SimpleQueue[tuple[float, Item]] = SimpleQueue()
        self.abandoned = False
        self.ended_at: float | None = None
        self.on_news: Callable[[], None] | None = None

    def put(self, item: Item) -> None:
        """For the loop: the next chunk, or why there is none. `ended_at`, in seconds of the epoch, is when its place was free."""
        now = time.time()
        if isinstance(item, QAError) or item.finish_reason is not None:
            self.ended_at = now
        self._items.put((now, item))
        if self.on_news is not None:
            self.on_news()

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks to the last; what came while the reader was busy comes as one. Raises what ended the text early."""
        try:
            while True:
                item = self._merged(self._items.get()[1])
                if isinstance(item, QAError):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            self.abandoned = True

    def take_now(self) -> tuple[float, Item] | None:
        """For whoever sends the text on: what came since the last time as one, and when its first part did. None where nothing did."""
        try:
            written_at, item = self._items.get_nowait()
        except Empty:
            return None
        return written_at, self._merged(item)

    def _merged(self, item: Item) -> Item:
        """The item with the chunks that wait behind it; an error is left to the next turn where text came before it."""
        while isinstance(item, Chunk) and item.finish_reason is None:
            try:
                written_at, following = self._items.get_nowait()
            except Empty:
                return item
            if isinstance(following, QAError):
                self._items.put((written_at, following))
                return item
            item = Chunk(text=item.text + following.text, finish_reason=following.finish_reason, usage=following.usage)
        return item
