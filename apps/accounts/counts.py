"""What is counted for limits, and what keeps the counts? Buckets that refill, and quotas of a day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.utils import timezone

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


def least(counted: Counted) -> float:
    """What must be left for its cost to be taken."""
    return counted.cost or _ANY


def stored_name(counted: Counted) -> str:
    """Under which name the count is kept: a quota begins anew with each day."""
    return f"{counted.name} {timezone.localdate().isoformat()}" if isinstance(counted, Quota) else counted.name


def seconds_until_enough(counted: Counted, level: float) -> float:
    """Seconds until there is enough; of a quota, until the day is over."""
    if isinstance(counted, Bucket):
        return (least(counted) - level) / counted.rate_per_s
    now = timezone.localtime()
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), tzinfo=now.tzinfo)
    return (midnight - now).total_seconds()
