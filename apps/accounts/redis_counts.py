"""How are limits counted for all processes together? In Redis, each change by one script.

A Redis that does not answer is replaced by the process's own counts meanwhile: a limit must not be the reason why nothing works.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import redis

from apps.accounts.counts import Counted, Counts, Quota, Refusal, seconds_until_enough, stored_name

log = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 0.5
_KEEP_S = 2 * 86_400
_UNKNOWN = -1


class RedisCounts:
    """Counts of all processes; `stands_in` counts while Redis does not answer."""

    # KEYS: one a count. ARGV: force (1: whether it is there or not), then for each: kind, most or burst, rate, cost.
    # A bucket is a hash (level, at), a quota a number. Returns 0, or the place of what refuses and its level as text;
    # UNKNOWN, with nothing taken, where a quota is not counted yet.
    _SCRIPT = """
        local clock = redis.call('TIME')
        local now, left = clock[1] + clock[2] / 1e6, {}
        for place, key in ipairs(KEYS) do
            local kind, most = ARGV[4 * place - 2], tonumber(ARGV[4 * place - 1])
            local rate, cost = tonumber(ARGV[4 * place]), tonumber(ARGV[4 * place + 1])
            if kind == 'quota' then
                local used = redis.call('GET', key)
                if not used then return {UNKNOWN, '0'} end
                left[place] = most - tonumber(used)
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

    def __init__(self, url: str, stands_in: Counts) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)
        self._script = self._redis.register_script(self._SCRIPT.replace("KEEP", str(_KEEP_S)).replace("UNKNOWN", str(_UNKNOWN)))
        self._stands_in = stands_in

    def take(self, wanted: Sequence[Counted]) -> Refusal | None:
        """As `Counts.take`."""
        try:
            place, level = self._run(wanted, force=False)
        except redis.RedisError as error:
            log.warning("limits are counted here alone error=%s", type(error).__name__)
            return self._stands_in.take(wanted)
        return Refusal(wanted[place - 1], seconds_until_enough(wanted[place - 1], level)) if place else None

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
        keys = [_redis_key(stored_name(counted)) for counted in wanted]
        place, level = self._script(keys=keys, args=arguments)
        while int(place) == _UNKNOWN:
            self._begin(dict(zip(keys, wanted, strict=True)))
            place, level = self._script(keys=keys, args=arguments)
        return int(place), float(level)

    def _begin(self, wanted: Mapping[str, Counted]) -> None:
        """A new quota begins with what was used before: its limit may be younger than the day, and Redis may have lost it."""
        for key, counted in wanted.items():
            if isinstance(counted, Quota):
                self._redis.set(key, counted.used_before(), nx=True, ex=_KEEP_S)


def _redis_key(name: str) -> str:
    return f"wenlu:count:{name}"
