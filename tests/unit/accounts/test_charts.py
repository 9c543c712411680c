"""Stacked bars: where the pieces lie, and how the axis is written."""

from __future__ import annotations

from datetime import date

import pytest

from apps.accounts.charts import DayBar, _round_up, _short, stack_bars


def test_pieces_stand_on_each_other() -> None:
    chart = stack_bars([DayBar(date(2026, 3, 1), (1, 3), "four")])
    (bar,) = chart["bars"]  # type: ignore[misc]
    lower, upper = bar["pieces"]
    assert float(upper["y"]) + float(upper["height"]) == pytest.approx(float(lower["y"]), abs=0.11)
    assert float(upper["height"]) == pytest.approx(3 * float(lower["height"]), abs=0.11)


def test_days_without_anything_are_drawn_too() -> None:
    chart = stack_bars([DayBar(date(2026, 3, day), (0,), "") for day in range(1, 31)])
    assert [bar["label"] for bar in chart["bars"] if bar["label"]][-1] == "3/30"  # type: ignore[union-attr]


@pytest.mark.parametrize(("value", "top"), [(0, 2), (3, 4), (11, 20), (41, 100), (6400, 10_000)])
def test_the_axis_ends_at_a_round_number(value: float, top: int) -> None:
    assert _round_up(value) == top


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (2500, "2,500"), (40_000, "40k"), (1_500_000, "1.5M")])
def test_large_numbers_are_short(value: float, text: str) -> None:
    assert _short(value) == text
