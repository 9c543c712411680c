"""What a process may keep in mind for a moment: rows that every request needs and that seldom change."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """The results of `load`, each for `keep_s()` seconds, the least recently used forgotten beyond `most`. Errors are not kept."""

    def __init__(self, load: Callable[[K], V], *, keep_s: Callable[[], float], most: int = 10_000) -> None:
        self._load = load
        self._keep_s = keep_s
        self._most = most
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V:
        """The value for `key`, at most `keep_s` old."""
        now = time.monotonic()
        with self._lock:
            found = self._kept.get(key)
            if found is not None and now - found[0] < self._keep_s():
                self._kept.move_to_end(key)
                return found[1]
        value = self._load(key)
        with self._lock:
            self._kept[key] = (now, value)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()
