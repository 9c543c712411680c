"""When may a site be asked again? Not before its delay has passed, whoever in this process asked last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from threading import Event

from core.errors import Cancelled

_MANY = 1000


class Pace:
    """The next free moment of each site. Whoever comes takes the first one that is free and waits for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, site: str, delay_s: float, cancel: Event) -> None:
        """Returns when the site may be asked. Raises Cancelled where that happens first."""
        at = self._take(site, delay_s)
        if cancel.wait(max(0.0, at - self._clock())):
            raise Cancelled("Stopped.")

    def hold(self, site: str, seconds: float) -> None:
        """Keeps everybody from the site for so long."""
        with self._lock:
            self._free_at[site] = max(self._free_at.get(site, 0.0), self._clock() + seconds)

    def _take(self, site: str, delay_s: float) -> float:
        with self._lock:
            now = self._clock()
            if len(self._free_at) > _MANY:
                self._free_at = {name: at for name, at in self._free_at.items() if at > now}
            at = max(now, self._free_at.get(site, 0.0))
            self._free_at[site] = at + delay_s
            return at


PACE = Pace()
