"""What do the rows of usage add up to? By bot or by caller, over the last days, for the panel's page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from django.utils import timezone

from apps.accounts.histograms import merge_times, percentile_ms
from apps.accounts.models import UsageDay


class GroupBy(StrEnum):
    """What the sums are of."""

    MODEL = "model"
    CALLER = "caller"


class Measure(StrEnum):
    """What the chart shows."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """The sums of one bot, model or caller; times in milliseconds, None without a request."""

    name: str
    requests: int
    failed: int
    refused: int
    prompt_tokens: int
    completion_tokens: int
    p50_ms: float | None
    p95_ms: float | None

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.prompt_tokens + self.completion_tokens

    def of(self, measure: Measure) -> int:
        """The value that the chart shows."""
        return self.requests if measure is Measure.REQUESTS else self.tokens


def last_days(count: int) -> list[date]:
    """So many days, oldest first, today included."""
    today = timezone.localdate()
    return [today - timedelta(days=back) for back in reversed(range(count))]


def usage_since(day: date) -> list[UsageDay]:
    """The rows of that day and later."""
    return list(UsageDay.objects.filter(day__gte=day).order_by("day"))


def grouped(rows: Iterable[UsageDay], field: str) -> dict[Any, list[UsageDay]]:
    """The rows by the value of a field."""
    found: dict[Any, list[UsageDay]] = {}
    for row in rows:
        found.setdefault(getattr(row, field), []).append(row)
    return found


def add_up(name: str, rows: Iterable[UsageDay]) -> Total:
    """The sums of the rows."""
    rows = list(rows)
    times = merge_times(row.times for row in rows)
    return Total(
        name=name,
        requests=sum(row.requests for row in rows),
        failed=sum(row.failed for row in rows),
        refused=sum(row.refused for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        p50_ms=percentile_ms(times, 0.5),
        p95_ms=percentile_ms(times, 0.95),
    )


def totals_by(group: GroupBy, rows: Sequence[UsageDay], measure: Measure) -> list[Total]:
    """The sums of each, the largest first."""
    totals = [add_up(name, own) for name, own in grouped(rows, group.value).items()]
    return sorted(totals, key=lambda total: (-total.of(measure), total.name))
