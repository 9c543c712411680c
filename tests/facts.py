"""Facts and filters for tests: every fact drawn from few values, so that filters admit all, some and none."""

from __future__ import annotations

import random

from hypothesis import strategies

from core.types import Facts, Filters

TERMS = ["tag=travel", "tag=travel cost", "tag=差旅", "lang=zh", "lang=en", "access=" + "long" * 100, "odd=\ud800"]
DAYS = [1, 730_000, 738_000, 739_999]


def some_facts(count: int) -> list[Facts]:
    """The same facts for every call: none to four terms, with a day or without."""
    source = random.Random(7)
    return [Facts(terms=tuple(source.choices(TERMS, k=source.randrange(5))), day=source.choice([*DAYS, None, None])) for _ in range(count)]


def filters() -> strategies.SearchStrategy[Filters]:
    """Filters of up to three groups, one of them perhaps empty or of a term that no entry has, and any bounds."""
    group = strategies.frozensets(strategies.sampled_from([*TERMS, "tag=nowhere"]), max_size=3)
    day = strategies.one_of(strategies.none(), strategies.sampled_from([0, *DAYS, 738_001, 800_000]))
    return strategies.builds(Filters, any_of=strategies.lists(group, max_size=3).map(tuple), since_day=day, until_day=day)
