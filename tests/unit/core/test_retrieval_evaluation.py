"""The measures of search and reading, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from core.retrieval_evaluation import answer_pieces, mean_scores, reading_scores, retrieval_scores


def test_one_right_document_in_third_place() -> None:
    scores = retrieval_scores(["x", "y", "a", "z"], {"a"})
    assert scores == pytest.approx({"recall_at_1": 0, "recall_at_5": 1, "recall_at_10": 1, "mrr": 1 / 3, "ndcg_at_10": 1 / 2})


def test_recall_is_the_share_of_all_right_documents() -> None:
    scores = retrieval_scores(["a", "x", "b"], {"a", "b", "c", "d"})
    assert (scores["recall_at_1"], scores["recall_at_5"], scores["mrr"]) == (1 / 4, 2 / 4, 1)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, 5))
    assert scores["ndcg_at_10"] == pytest.approx((1 + 1 / 2) / ideal)


def test_nothing_found_scores_nothing() -> None:
    assert set(retrieval_scores([], {"a"}).values()) == {0.0}


@pytest.mark.parametrize(
    ("answer", "accepted", "exact", "f1"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("in March", ["March", "in April"], 0, 2 / 3),
        ("十天年假", ["十天"], 0, 2 / 3),
        ("nothing", ["March"], 0, 0),
    ],
)
def test_answers_are_compared_without_case_articles_and_punctuation(answer: str, accepted: list[str], exact: float, f1: float) -> None:
    scores = reading_scores(answer, accepted)
    assert (scores["exact_match"], scores["f1"]) == pytest.approx((exact, f1))


def test_an_answer_is_found_as_whole_words_in_order() -> None:
    assert reading_scores("It opens in March 2026.", ["March 2026"])["answer_found"] == 1
    assert reading_scores("It opens in marching order.", ["March"])["answer_found"] == 0
    assert reading_scores("2026 March", ["March 2026"])["answer_found"] == 0
    assert reading_scores("年假有十天。", ["十天"])["answer_found"] == 1


def test_where_nothing_answers_silence_is_right() -> None:
    assert set(reading_scores("", []).values()) == {1.0}
    assert set(reading_scores("Something", []).values()) == {0.0}


def test_pieces_are_words_and_single_han_characters() -> None:
    assert answer_pieces("The ＡＢＣ 公司, 2.0") == ["abc", "公", "司", "2", "0"]


def test_means_are_over_questions() -> None:
    assert mean_scores([{"a": 1.0}, {"a": 0.0}]) == {"a": 0.5}
    assert mean_scores([]) == {}
