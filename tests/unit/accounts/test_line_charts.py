"""Lines of measures over runs: where the dots are."""

from __future__ import annotations

from apps.accounts.line_charts import RunPoint, draw_lines


def test_the_axis_begins_a_little_below_the_least_value_and_ends_at_one() -> None:
    chart = draw_lines([RunPoint({"a": 0.62}, "1/2", "", ""), RunPoint({"a": 1.0}, "1/3", "", "")], ["a"])
    assert [line["label"] for line in chart["grid"]] == ["0.50", "0.75", "1.00"]
    dots = chart["lines"][0]["dots"]
    assert float(dots[0]["x"]) < float(dots[1]["x"])
    assert dots[1]["y"] == chart["grid"][2]["y"]


def test_a_run_without_a_value_leaves_a_gap_in_the_dots_and_no_error() -> None:
    chart = draw_lines([RunPoint({"a": 0.5, "b": 0.4}, "", "", ""), RunPoint({"a": 0.6}, "", "", "")], ["a", "b"])
    assert [len(line["dots"]) for line in chart["lines"]] == [2, 1]


def test_one_point_or_none_is_drawn_too() -> None:
    assert draw_lines([], ["a"])["points"] == []
    assert draw_lines([RunPoint({"a": 0.0}, "", "", "")], ["a"])["grid"][0]["label"] == "0.00"
