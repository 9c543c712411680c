"""How much is left of what is counted? Buckets that refill, and quotas of a day: of all processes together where there is Redis.

Without Redis each process counts for itself, which is all there is of them in the embedded default. A Redis that does not
answer is replaced by the process's own counts meanwhile: a limit must not be the reason why nothing works.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Protocol

import redis
from django.utils import timezone

from core.config import get_settings
from core.errors import RateLimited

log = logging.getLogger(__name__)

MAX_COUNTED = 100_000
REDIS_TIMEOUT_S = 0.5
_KEEP_S = 2 * 86_400
_ANY = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """Holds up to `burst` and refills at `rate_per_s`. `cost` is taken where it is there; 0 asks for anything above nothing."""

    name: str
    burst: float
    rate_per_s: float
    cost: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """Up to `most` in one calendar day of the installation's time zone. `used_before` tells what a new count begins with."""

    name: str
    most: float
    cost: float = 1.0
    used_before: Callable[[], float] = float


Counted = Bucket | Quota


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is used up, and the seconds until there is enough again."""

    counted: Counted
    wait_s: float


class Counts(Protocol):
    """Where counts are kept."""

    def take(self, wanted: Sequence[Counted]) -> Refusal | None:
        """Takes the cost of all of them, or of none and says which refuses."""
        ...

    def charge(self, spent: Sequence[Counted]) -> None:
        """Takes the costs whether they are there or not: what is owed must refill first."""
        ...

    def forget(self, name: str) -> None:
        """Begins the bucket anew, full."""
        ...

    def clear(self) -> None:
        """Begins everything anew."""
        ...


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
                if level < (counted.cost or _ANY):
                    return Refusal(counted, _wait_s(counted, level))
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
            if isinstance(counted, Quota) and (name := _stored_name(counted)) not in self._levels:
                used = counted.used_before()
                with self._lock:
                    self._levels.setdefault(name, (used, 0.0))

    def _level(self, counted: Counted, now: float) -> float:
        """What is left."""
        if isinstance(counted, Quota):
            return counted.most - self._levels.get(_stored_name(counted), (0.0, 0.0))[0]
        level, at = self._levels.get(counted.name, (counted.burst, now))
        return min(counted.burst, level + (now - at) * counted.rate_per_s)

    def _put(self, wanted: Sequence[Counted], levels: Sequence[float], now: float) -> None:
        for counted, level in zip(wanted, levels, strict=True):
            name, left = _stored_name(counted), level - counted.cost
            self._levels[name] = (counted.most - left if isinstance(counted, Quota) else left, now)
            self._levels.move_to_end(name)
        while len(self._levels) > MAX_COUNTED:
            self._levels.popitem(last=False)


class RedisCounts:
    """Counts of all processes, each change one script in Redis; `stands_in` counts while Redis does not answer."""

    # KEYS: one a count. ARGV: force (1: whether it is there or not), then for each: kind, most or burst, rate, cost.
    # A bucket is a hash (level, at), a quota a number. Returns 0, or the place of what refuses and its level as text.
    _SCRIPT = """
        local clock = redis.call('TIME')
        local now, left = clock[1] + clock[2] / 1e6, {}
        for place, key in ipairs(KEYS) do
            local kind, most = ARGV[4 * place - 2], tonumber(ARGV[4 * place - 1])
            local rate, cost = tonumber(ARGV[4 * place]), tonumber(ARGV[4 * place + 1])
            if kind == 'quota' then
                left[place] = most - tonumber(redis.call('GET', key) or 0)
            else
                local kept = redis.call('HMGET', key, 'level', 'at')
                left[place] = math.min(most, tonumber(kept[1] or most) + (now - tonumber(kept[2] or now)) * rate)
            end
            if ARGV[1] == '0' and left[place] < math.max(cost, 1e-6) then return {place, tostring(left[place])} end
        end
        for place, key in ipairs(KEYS) do
            local cost = tonumber(ARGV[4 * place + 1])
            if ARGV[4 * place - 2] == 'quota' then
                redis.call('INCRBYFLOAT', key, cost)
            else
                redis.call('HSET', key, 'level', tostring(left[place] - cost), 'at', tostring(now))
            end
            redis.call('EXPIRE', key, KEEP)
        end
        return {0, '0'}
    """

    def __init__(self, url: str, stands_in: MemoryCounts) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)
        self._script = self._redis.register_script(self._SCRIPT.replace("KEEP", str(_KEEP_S)))
        self._stands_in = stands_in

    def take(self, wanted: Sequence[Counted]) -> Refusal | None:
        """As `Counts.take`."""
        try:
            place, level = self._run(wanted, force=False)
        except redis.RedisError as error:
            log.warning("limits are counted here alone error=%s", type(error).__name__)
            return self._stands_in.take(wanted)
        return Refusal(wanted[place - 1], _wait_s(wanted[place - 1], level)) if place else None

    def charge(self, spent: Sequence[Counted]) -> None:
        """As `Counts.charge`."""
        try:
            self._run(spent, force=True)
        except redis.RedisError as error:
            log.warning("limits are counted here alone error=%s", type(error).__name__)
            self._stands_in.charge(spent)

    def forget(self, name: str) -> None:
        """As `Counts.forget`."""
        try:
            self._redis.delete(_redis_key(name))
        except redis.RedisError:
            self._stands_in.forget(name)

    def clear(self) -> None:
        """As `Counts.clear`; for tests and repairs: looks through all keys."""
        self._stands_in.clear()
        for key in self._redis.scan_iter(_redis_key("*"), count=1000):
            self._redis.delete(key)

    def _run(self, wanted: Sequence[Counted], *, force: bool) -> tuple[int, float]:
        arguments: list[str | float] = [int(force)]
        for counted in wanted:
            if isinstance(counted, Quota):
                arguments += ["quota", counted.most, 0, counted.cost]
            else:
                arguments += ["bucket", counted.burst, counted.rate_per_s, counted.cost]
        place, level = self._script(keys=[_redis_key(_stored_name(counted)) for counted in wanted], args=arguments)
        return int(place), float(level)


def _stored_name(counted: Counted) -> str:
    return f"{counted.name} {timezone.localdate().isoformat()}" if isinstance(counted, Quota) else counted.name


def _redis_key(name: str) -> str:
    return f"wenlu:count:{name}"


def _wait_s(counted: Counted, level: float) -> float:
    """Seconds until there is enough; of a quota, until the day is over."""
    if isinstance(counted, Bucket):
        return ((counted.cost or _ANY) - level) / counted.rate_per_s
    now = timezone.localtime()
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), tzinfo=now.tzinfo)
    return (midnight - now).total_seconds()


_memory = MemoryCounts()


@cache
def _redis_counts(url: str) -> RedisCounts:
    return RedisCounts(url, _memory)
