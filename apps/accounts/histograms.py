"""How are times counted so that percentiles of any sum of counts can be told? In buckets that grow with the time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

_STEPS = 4  # buckets to a doubling of the time
_FIRST_MS = 1.0


def bucket_of(milliseconds: float) -> int:
    """The bucket of a time: four to a doubling, from a millisecond on."""
    return max(0, math.ceil(_STEPS * math.log2(max(milliseconds, _FIRST_MS) / _FIRST_MS)))


def merge_times(histograms: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The histograms added up: bucket → count."""
    total: dict[str, int] = {}
    for histogram in histograms:
        for bucket, count in histogram.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def percentile_ms(histogram: Mapping[str, int], share: float) -> float | None:
    """The time within which this share of the requests was over: the upper end of its bucket, up to 19 % high; None without any."""
    left = share * sum(histogram.values())
    for bucket in sorted(map(int, histogram)):
        left -= histogram[str(bucket)]
        if left <= 0:
            return float(_FIRST_MS * 2 ** (bucket / _STEPS))
    return None
