"""How are limits counted where there is no Redis? By each process for itself."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from apps.accounts.counts import Counted, Quota, Refusal, least, seconds_until_enough, stored_name

MAX_COUNTED = 100_000


class MemoryCounts:
    """Counts of this process; the least recently used are forgotten beyond `MAX_COUNTED`."""

    def __init__(self) -> None:
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, wanted: Sequence[Counted]) -> Refusal | None:
        """As `Counts.take`."""
        self._begin(wanted)
        now = time.monotonic()
        with self._lock:
            levels = [self._level(counted, now) for counted in wanted]
            for counted, level in zip(wanted, levels, strict=True):
                if level < least(counted):
                    return Refusal(counted, seconds_until_enough(counted, level))
            self._put(wanted, levels, now)
        return None

    def charge(self, spent: Sequence[Counted]) -> None:
        """As `Counts.charge`."""
        self._begin(spent)
        now = time.monotonic()
        with self._lock:
            self._put(spent, [self._level(counted, now) for counted in spent], now)

    def forget(self, name: str) -> None:
        """As `Counts.forget`."""
        with self._lock:
            self._levels.pop(name, None)

    def clear(self) -> None:
        """As `Counts.clear`."""
        with self._lock:
            self._levels.clear()

    def _begin(self, wanted: Sequence[Counted]) -> None:
        """Asks for what was used before, outside the lock, where a quota is counted for the first time."""
        for counted in wanted:
            if isinstance(counted, Quota) and (name := stored_name(counted)) not in self._levels:
                used = counted.used_before()
                with self._lock:
                    self._levels.setdefault(name, (used, 0.0))

    def _level(self, counted: Counted, now: float) -> float:
        """What is left."""
        if isinstance(counted, Quota):
            return counted.most - self._levels.get(stored_name(counted), (0.0, 0.0))[0]
        level, at = self._levels.get(counted.name, (counted.burst, now))
        return min(counted.burst, level + (now - at) * counted.rate_per_s)

    def _put(self, wanted: Sequence[Counted], levels: Sequence[float], now: float) -> None:
        for counted, level in zip(wanted, levels, strict=True):
            name, left = stored_name(counted), level - counted.cost
            self._levels[name] = (counted.most - left if isinstance(counted, Quota) else left, now)
            self._levels.move_to_end(name)
        while len(self._levels) > MAX_COUNTED:
            self._levels.popitem(last=False)
