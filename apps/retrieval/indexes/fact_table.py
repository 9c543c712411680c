"""Which rows does a filter admit? The facts of many rows in a few arrays, for indexes that hold rows rather than texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from core.types import NO_FACTS, Facts, Filters

IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

NO_DAY = np.iinfo(np.int32).min
# Looking at every code of 40,000 rows takes 0.1 ms; beyond, the codes are sorted once, which takes 100 ms a million.
SCAN_MAX_CODES = 200_000


@dataclass(frozen=True, eq=False)
class FactTable:
    """Row n has the terms `codes[starts[n] : starts[n + 1]]` and the day `days[n]`; nothing in it ever changes.

    A term is kept as 64 bits of its BLAKE2b hash: 8 bytes, no vocabulary, and one of a million terms meets another by
    chance once in 30 million tables. Memory is 12 bytes a row and 8 a term; 16 more a term once a large table is searched.
    """

    starts: IntArray
    codes: IntArray
    days: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.days)

    def admitted(self, filters: Filters) -> Mask:
        """bool[rows]: those that `Filters.admits`."""
        mask = np.ones(len(self), np.bool_)
        for group in filters.any_of:
            mask &= self._having(group)
        if filters.since_day is not None or filters.until_day is not None:
            mask &= self.days >= max(filters.since_day or 0, NO_DAY + 1)
        if filters.until_day is not None:
            mask &= self.days <= filters.until_day
        return mask

    def taken(self, places: IntArray | Mask) -> FactTable:
        """The table of these rows alone, in the order of `places`."""
        places = np.flatnonzero(places) if places.dtype == np.bool_ else places
        counts = np.diff(self.starts)[places]
        starts = _starts(counts)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return FactTable(starts, self.codes[np.repeat(self.starts[places], counts) + within], self.days[places])

    def followed_by(self, other: FactTable) -> FactTable:
        """The rows of both tables."""
        starts = np.concatenate([self.starts, other.starts[1:] + self.starts[-1]])
        return FactTable(starts, np.concatenate([self.codes, other.codes]), np.concatenate([self.days, other.days]))

    def _having(self, terms: frozenset[str]) -> Mask:
        """The rows that have one of the terms."""
        wanted = np.array([code_of(term) for term in terms], np.int64)
        mask = np.zeros(len(self), np.bool_)
        if len(self.codes) <= SCAN_MAX_CODES:
            places = np.flatnonzero(np.isin(self.codes, wanted))
            mask[np.searchsorted(self.starts, places, side="right") - 1] = True
            return mask
        codes, rows = self._postings
        for first, last in zip(np.searchsorted(codes, wanted), np.searchsorted(codes, wanted, side="right"), strict=True):
            mask[rows[first:last]] = True
        return mask

    @cached_property
    def _postings(self) -> tuple[IntArray, IntArray]:
        """The codes in order, and the row of each."""
        order = np.argsort(self.codes, kind="stable")
        return self.codes[order], np.repeat(np.arange(len(self)), np.diff(self.starts))[order]


def table_of(facts: Sequence[Facts]) -> FactTable:
    """The table whose row n has `facts[n]`."""
    terms = [set(one.terms) for one in facts]
    codes = np.fromiter((code_of(term) for row in terms for term in row), np.int64)
    days = np.array([NO_DAY if one.day is None else one.day for one in facts], np.int32)
    return FactTable(_starts(np.array([len(row) for row in terms], np.int64)), codes, days)


def without_facts(count: int) -> FactTable:
    """The table of rows that nothing is known of."""
    return table_of([NO_FACTS] * count)


@lru_cache(100_000)
def code_of(term: str) -> int:
    """The 64 bits that a term is kept as, the same in every process."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little", signed=True)


def _starts(counts: IntArray) -> IntArray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
