"""When is a server that does not answer left alone? After a few failures in a row nobody waits for it, until one caller finds it well."""

from __future__ import annotations

import threading
import time

FAILURES = 3
PAUSE_S = 2.0


class CircuitBreaker:
    """Counts failures in a row; from `FAILURES` on it lets one caller through every `PAUSE_S` seconds. Thread-safe.

    The pattern is Nygard's (Release It!, 2007): callers fail at once instead of piling up behind a timeout, and the first
    success lets everybody through again.
    """

    def __init__(self, *, failures: int = FAILURES, pause_s: float | None = None) -> None:
        self._most, self._pause_s = failures, PAUSE_S if pause_s is None else pause_s
        self._failures = 0
        self._next_try = 0.0
        self._lock = threading.Lock()

    def admits(self) -> bool:
        """Whether the caller may try; then it must say `succeeded` or `failed`."""
        if self._failures < self._most:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + self._pause_s
            return True

    def succeeded(self) -> bool:
        """The server answers. Returns whether it had been left alone."""
        if not self._failures:
            return False
        with self._lock:
            failures, self._failures = self._failures, 0
        return failures >= self._most

    def failed(self) -> bool:
        """The server did not answer, or not in time. Returns whether it is left alone from now on."""
        with self._lock:
            self._failures += 1
            self._next_try = time.monotonic() + self._pause_s
            return self._failures == self._most
