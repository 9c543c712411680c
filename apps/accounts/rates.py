"""How often one caller may ask: a token bucket for each, in this process's memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from core.config import get_settings
from core.errors import RateLimited

MAX_CALLERS = 50_000

_buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
_lock = threading.Lock()


def take_ask(caller: str) -> None:
    """Counts one question of this caller. Raises RateLimited with `retry_after_s` once the minute's share is used."""
    rate = get_settings().ask_rate_per_minute
    if rate:
        take(caller, rate_per_s=rate / 60, burst=rate)


def take(caller: str, *, rate_per_s: float, burst: float) -> None:
    """Takes one token from the caller's bucket, which holds `burst` and refills at `rate_per_s`."""
    now = time.monotonic()
    with _lock:
        tokens, at = _buckets.pop(caller, (burst, now))
        tokens = min(burst, tokens + (now - at) * rate_per_s)
        enough = tokens >= 1
        _buckets[caller] = (tokens - 1 if enough else tokens, now)
        if len(_buckets) > MAX_CALLERS:
            _buckets.popitem(last=False)
    if not enough:
        raise RateLimited("Too many questions in a minute.", retry_after_s=round((1 - tokens) / rate_per_s, 1))


def forget(caller: str) -> None:
    """Gives the caller a full bucket again."""
    with _lock:
        _buckets.pop(caller, None)
