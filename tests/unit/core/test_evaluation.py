"""The measures of `evaluate`, against values worked out by hand."""

from __future__ import annotations

import pytest

from core.evaluation import Claim, abstention_metrics, ranking_metrics


def test_the_place_of_the_first_right_answer_counts() -> None:
    metrics = ranking_metrics([["a", "b"], ["b", "a"], ["c"], []], [{"a"}, {"a"}, {"a"}, {"a"}])
    assert metrics["top1"] == 1 / 4
    assert metrics["mrr"] == (1 + 1 / 2) / 4


def test_recall_is_the_share_of_right_answers_among_the_first_five() -> None:
    metrics = ranking_metrics([["a", "x", "y", "z", "b", "c"], ["x", "y", "z", "u", "v", "a"]], [{"a", "b", "c"}, {"a"}])
    assert metrics["recall_at_5"] == pytest.approx((2 / 3 + 0) / 2)
    assert metrics["mrr"] == pytest.approx((1 + 1 / 6) / 2)


def test_no_question_at_all_is_zero_everywhere() -> None:
    assert set(ranking_metrics([], []).values()) == {0.0}
    assert set(abstention_metrics([]).values()) == {0.0}


def test_a_list_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        ranking_metrics([["a"]], [{"a"}, {"b"}])


def answerable(confidence: float, *, answered: bool = True, right: bool = True) -> Claim:
    return Claim(confidence, answered, right, answerable=True)


def unanswerable(confidence: float, *, answered: bool = False) -> Claim:
    return Claim(confidence, answered, right=False, answerable=False)


def test_shares_at_the_shipped_threshold() -> None:
    claims = [answerable(0.9), answerable(0.8, right=False), answerable(0.2, answered=False), answerable(0.7)]
    claims += [unanswerable(0.6, answered=True), unanswerable(0.1), unanswerable(0.1), unanswerable(0.1), unanswerable(0.1)]
    metrics = abstention_metrics(claims)
    assert metrics["coverage"] == 3 / 4
    assert metrics["wrong_rate"] == 1 / 4
    assert metrics["false_answer_rate"] == 1 / 5


def test_a_withheld_wrong_answer_is_not_wrong() -> None:
    assert abstention_metrics([answerable(0.2, answered=False, right=False)])["wrong_rate"] == 0


def test_false_answers_at_the_threshold_that_reaches_a_coverage() -> None:
    """Twenty answerable at 1.00, 0.95 … 0.05: 17 of them (85 %) lie at 0.20 or above, 18 (90 %) at 0.15 or above."""
    claims = [answerable(step / 20) for step in range(1, 21)]
    claims += [unanswerable(confidence) for confidence in (0.9, 0.2, 0.19, 0.15, 0.1)]
    metrics = abstention_metrics(claims)
    assert metrics["false_answer_rate_at_coverage_85"] == 2 / 5
    assert metrics["false_answer_rate_at_coverage_90"] == 4 / 5
