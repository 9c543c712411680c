"""How many hits have each value? Values that a filter takes for the same are counted together, under the spelling that is met most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

MAX_FACET_VALUES = 20


def most_frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """The `MAX_FACET_VALUES` most frequent values, equal ones by their names. Case makes no difference, as for a filter."""
    totals: Counter[str] = Counter()
    spellings: dict[str, str] = {}
    for value, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        spelling = spellings.setdefault(value.casefold(), value)
        totals[spelling] += count
    return dict(sorted(totals.items(), key=lambda one: (-one[1], one[0]))[:MAX_FACET_VALUES])
