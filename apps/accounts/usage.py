"""Who has asked what, how much did it cost, and how long did it take? Counted in memory, added to the day's rows now and then.

A row a day, caller and model; times go into a histogram, so that percentiles of any sum of rows can be told. What a process
that is killed had not written yet, `FLUSH_S` seconds at most, is lost to the statistics.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import date

from django.db import Error, close_old_connections, transaction
from django.utils import timezone

from apps.accounts.histograms import bucket_of, merge_times
from apps.accounts.models import UsageDay
from core.protocols import Usage

log = logging.getLogger(__name__)

FLUSH_S = 5.0
MAX_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """What one row is about. `caller` is empty for people whom nobody knows."""

    day: date
    caller: str
    model: str
    is_bot: bool


@dataclass(slots=True)
class Sums:
    """What is added to it."""

    requests: int = 0
    failed: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    times: dict[int, int] = field(default_factory=dict)


def note_use(caller: str, model: str, usage: Usage, *, is_bot: bool, seconds: float, failed: bool) -> None:
    """Counts a request that is over."""
    with _lock:
        sums = _sums(caller, model, is_bot)
        sums.requests += 1
        sums.failed += failed
        sums.prompt_tokens += usage.prompt_tokens
        sums.completion_tokens += usage.completion_tokens
        bucket = bucket_of(seconds * 1000)
        sums.times[bucket] = sums.times.get(bucket, 0) + 1


def note_refusal(caller: str, model: str, *, is_bot: bool) -> None:
    """Counts a request that a limit refused."""
    with _lock:
        _sums(caller, model, is_bot).refused += 1


def _sums(caller: str, model: str, is_bot: bool) -> Sums:
    row = Row(timezone.localdate(), caller, model, is_bot)
    if row not in _waiting and len(_waiting) >= MAX_WAITING:
        _waiting.pop(next(iter(_waiting)))
    return _waiting.setdefault(row, Sums())


def flush_usage() -> int:
    """Adds what was counted since to the rows; how many rows. What the database does not take is kept for the next time."""
    with _lock:
        taken = dict(_waiting)
        _waiting.clear()
    written = 0
    for row, sums in taken.items():
        try:
            _add(row, sums)
            written += 1
        except Error as error:
            log.warning("usage not written error=%s", type(error).__name__)
            _put_back(row, sums)
    return written


def _add(row: Row, sums: Sums) -> None:
    with transaction.atomic():
        stored, _ = UsageDay.objects.select_for_update().get_or_create(day=row.day, caller=row.caller, model=row.model, is_bot=row.is_bot)
        stored.requests += sums.requests
        stored.failed += sums.failed
        stored.refused += sums.refused
        stored.prompt_tokens += sums.prompt_tokens
        stored.completion_tokens += sums.completion_tokens
        stored.times = merge_times([stored.times, {str(bucket): count for bucket, count in sums.times.items()}])
        stored.save()


def _put_back(row: Row, sums: Sums) -> None:
    with _lock:
        newer = _waiting.setdefault(row, Sums())
        newer.requests += sums.requests
        newer.failed += sums.failed
        newer.refused += sums.refused
        newer.prompt_tokens += sums.prompt_tokens
        newer.completion_tokens += sums.completion_tokens
        for bucket, count in sums.times.items():
            newer.times[bucket] = newer.times.get(bucket, 0) + count


def forget_usage() -> None:
    """Forgets what is not written yet."""
    with _lock:
        _waiting.clear()


class UsageWriter:
    """Writes every `FLUSH_S` seconds while the server runs, and at its end."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Writes what is left."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        try:
            flush_usage()
        finally:
            close_old_connections()


_lock = threading.Lock()
_waiting: dict[Row, Sums] = {}
