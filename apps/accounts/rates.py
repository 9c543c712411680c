"""How much is left of what is counted? Of all processes together where there is Redis, else of this one."""

from __future__ import annotations

from functools import cache

from apps.accounts.counts import Bucket, Counts
from apps.accounts.memory_counts import MemoryCounts
from apps.accounts.redis_counts import RedisCounts
from core.config import get_settings
from core.errors import RateLimited

_memory = MemoryCounts()


def counts() -> Counts:
    """The counts in force."""
    url = get_settings().redis_url
    return _redis_counts(url) if url else _memory


def take(name: str, *, rate_per_s: float, burst: float) -> None:
    """Takes one from the bucket of that name. Raises RateLimited with `retry_after_s`."""
    refusal = counts().take([Bucket(name=name, burst=burst, rate_per_s=rate_per_s)])
    if refusal is not None:
        raise RateLimited("Too many tries.", retry_after_s=round(refusal.wait_s, 1))


def forget(name: str) -> None:
    """Gives the bucket of that name everything back."""
    counts().forget(name)


def forget_counts() -> None:
    """Begins everything anew."""
    counts().clear()


@cache
def _redis_counts(url: str) -> RedisCounts:
    return RedisCounts(url, _memory)
