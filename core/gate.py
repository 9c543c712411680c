"""Who goes next, where only so many may work at a time? Whoever has waited longest.

Where many threads search at once, each index, query and array call hands the interpreter to another of them: 16 callers of a
process with two cores had 217 searches a second where 4 had 336, and waited three times as long for the slowest twentieth.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Lets `width` threads in at a time, in the order in which they came: a place that becomes free goes to who has waited longest.

    `threading.Semaphore` gives it to whoever asks first, which is the thread that has just left and comes back.
    """

    def __init__(self, width: int, *, patience_s: float) -> None:
        self._free = width
        self._patience_s = patience_s
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Held while working. Whoever has waited `patience_s` goes in all the same: one slow index must not stop everyone."""
        admitted = self._enter()
        try:
            yield
        finally:
            if admitted:
                self._leave()

    def _enter(self) -> bool:
        with self._mutex:
            if self._free > 0:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=self._patience_s):
            return True
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # the place came at the last moment

    def _leave(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
