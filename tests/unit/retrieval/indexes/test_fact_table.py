"""Facts of many rows in arrays: masks, and tables made of tables."""

from __future__ import annotations

import numpy as np
import pytest

from apps.retrieval.indexes import fact_table
from apps.retrieval.indexes.fact_table import FactTable, table_of, without_facts
from core.types import NO_FACTS, NO_FILTERS, Facts, Filters

ROWS = [Facts(terms=("a", "b"), day=3), NO_FACTS, Facts(terms=("b", "b")), Facts(day=9)]


def admitted(table: FactTable, filters: Filters) -> list[int]:
    return np.flatnonzero(table.admitted(filters)).tolist()


@pytest.mark.parametrize("scan_max", [0, 1000])
def test_each_group_and_each_bound_narrows(scan_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_table, "SCAN_MAX_CODES", scan_max)
    table = table_of(ROWS)
    assert admitted(table, NO_FILTERS) == [0, 1, 2, 3]
    assert admitted(table, Filters(any_of=(frozenset({"b"}),))) == [0, 2]
    assert admitted(table, Filters(any_of=(frozenset({"b", "x"}), frozenset({"a"})))) == [0]
    assert admitted(table, Filters(any_of=(frozenset(),))) == []
    assert admitted(table, Filters(since_day=3, until_day=8)) == [0]
    assert admitted(table, Filters(until_day=9)) == [0, 3]


def test_tables_are_cut_and_joined_row_by_row() -> None:
    table = table_of(ROWS).taken(np.array([3, 0])).followed_by(without_facts(1)).followed_by(table_of(ROWS[2:3]))
    assert admitted(table, Filters(any_of=(frozenset({"b"}),))) == [1, 3]
    assert admitted(table, Filters(since_day=1)) == [0, 1]
    assert table.starts.tolist() == [0, 0, 2, 2, 3]


def test_a_mask_takes_the_rows_that_it_marks() -> None:
    assert table_of(ROWS).taken(np.array([False, False, True, True])).days.tolist() == [fact_table.NO_DAY, 9]


def test_an_empty_table_admits_nothing() -> None:
    assert admitted(without_facts(0), Filters(any_of=(frozenset({"a"}),), since_day=1)) == []
