"""Intervals and the paired test, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from core.significance import interval, paired_p_value


def test_the_interval_is_that_of_the_normal_approximation_for_many_questions() -> None:
    low, high = interval([1.0] * 600 + [0.0] * 400)
    spread = 1.96 * np.sqrt(0.6 * 0.4 / 1000)
    assert (low, high) == pytest.approx((0.6 - spread, 0.6 + spread), abs=0.005)


def test_no_questions_have_no_interval() -> None:
    assert interval([]) == (0.0, 0.0)


def test_equal_runs_do_not_differ() -> None:
    assert paired_p_value([1, 0, 1], [1, 0, 1]) == 1.0


def test_a_sign_test_by_hand() -> None:
    """Six questions got better and none worse: two-sided, 2 of 64 sign patterns are as extreme."""
    assert paired_p_value([1] * 6 + [0] * 20, [0] * 6 + [0] * 20) == pytest.approx(2 / 64, abs=0.015)


def test_a_difference_on_many_questions_is_no_chance() -> None:
    assert paired_p_value([1] * 40, [0] * 40) < 0.001


def test_runs_over_other_questions_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="paired"):
        paired_p_value([1], [1, 0])
