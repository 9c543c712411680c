"""Who goes next, where only so many may work at a time? Whoever has waited longest.

Where many threads search at once, each index, query and array call hands the interpreter to another of them: 16 callers of a
process with two cores had 217 searches a second where 4 had 336, and waited three times as long for the slowest twentieth.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

LEASE_S = 0.25


class Gate:
    """Lets `width` threads in at a time, in the order in which they came: a place that becomes free goes to who has waited longest.

    `threading.Semaphore` gives it to whoever asks first, which is the thread that has just left and comes back. A place is lent
    for `lease_s`: who works longer goes on without it, and the next comes in, so that one slow index does not stop everyone.
    """

    def __init__(self, width: int, *, lease_s: float = LEASE_S) -> None:
        self._width = width
        self._lease_s = lease_s
        self._mutex = threading.Lock()
        self._inside: deque[_Place] = deque()
        self._waiting: deque[_Place] = deque()
        self._own = threading.local()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Held while working. A thread that is inside already goes on with the place that it has."""
        if self._place is not None:
            yield
            return
        self._own.place = self._enter()
        try:
            yield
        finally:
            self._give_back()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """While waiting for something else: a thread that is inside gives its place to the next, and queues for one again afterwards."""
        if self._place is None:
            yield
            return
        self._give_back()
        try:
            yield
        finally:
            self._own.place = self._enter()

    @property
    def _place(self) -> _Place | None:
        return getattr(self._own, "place", None)

    def _enter(self) -> _Place:
        place = _Place()
        with self._mutex:
            self._waiting.append(place)
            self._admit()
        while not place.wait(self._lease_s):
            with self._mutex:
                self._admit()
        return place

    def _give_back(self) -> None:
        with self._mutex:
            if self._own.place in self._inside:  # else it was lent for too long, and is another's
                self._inside.remove(self._own.place)
            self._own.place = None
            self._admit()

    def _admit(self) -> None:
        """Takes back what was lent for too long and lets in whom there is room for; with the mutex held."""
        now = time.monotonic()
        while self._inside and now - self._inside[0].since > self._lease_s:
            self._inside.popleft()
        while self._waiting and len(self._inside) < self._width:
            place = self._waiting.popleft()
            self._inside.append(place)
            place.admit(now)


class _Place:
    """A place in the queue and then inside. Its bare lock is an event that is set once; `threading.Event` costs a lock for every wait."""

    __slots__ = ("_closed", "since")

    def __init__(self) -> None:
        self._closed = threading.Lock()
        self._closed.acquire()
        self.since = 0.0

    def admit(self, now: float) -> None:
        """Lets the thread in that waits here."""
        self.since = now
        self._closed.release()

    def wait(self, timeout_s: float) -> bool:
        """Whether it was let in by then."""
        return self._closed.acquire(timeout=timeout_s)
