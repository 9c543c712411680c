"""Features of a question and its candidates: each says what it is meant to say."""

import numpy as np
import pytest

from apps.faq.features import (
    LEAST_HUBNESS,
    PAIR_FEATURES,
    Asked,
    Candidate,
    hubness,
    mean_nearest_cosine,
    pair_features,
    question_kinds,
    settled_density,
)
from apps.retrieval.vectors.token_vectors import TokenProjection
from core.types import FloatArray

EAST = np.array([1, 0, 0], np.float32)
NORTH = np.array([0, 1, 0], np.float32)
NEAR_EAST = np.array([0.8, 0.6, 0], np.float32)
PLAIN = TokenProjection(
    encoder="e@1", mean=np.zeros(3, np.float32), components=np.eye(3, dtype=np.float32), idf=np.array([1, 3, 0], np.float32), idf_bias=0.0
)


def candidate(faq_id: int = 1, text: str = "", vector: FloatArray | None = None, tokens: list[FloatArray] | None = None) -> Candidate:
    stored = None if tokens is None else np.stack(tokens)
    return Candidate(faq_id=faq_id, phrasing_id=faq_id, text=text, cosine=0.9, bm25=0.4, vector=vector, tokens=stored)


def row(asked: Asked, *candidates: Candidate, projection: TokenProjection | None = None) -> dict[str, float]:
    return dict(zip(PAIR_FEATURES, pair_features(asked, candidates, projection)[0].tolist(), strict=True))


def test_scores_of_the_indexes_are_passed_on() -> None:
    found = row(Asked(text="a"), candidate())
    assert found["cosine"] == pytest.approx(0.9) and found["bm25"] == pytest.approx(0.4)


def test_no_candidates_give_no_rows() -> None:
    assert pair_features(Asked(text="a"), [], PLAIN).shape == (0, len(PAIR_FEATURES))


def test_hubness_is_the_mean_cosine_to_the_three_nearest_phrasings_of_other_faqs() -> None:
    crowded = [candidate(1, vector=EAST), candidate(2, vector=EAST), candidate(3, vector=EAST), candidate(4, vector=NEAR_EAST)]
    assert hubness(crowded)[0] == pytest.approx((1 + 1 + 0.8) / 3)


def test_phrasings_of_the_same_faq_are_no_crowd() -> None:
    assert hubness([candidate(1, vector=EAST), candidate(1, vector=EAST)]).tolist() == pytest.approx([LEAST_HUBNESS] * 2)


def test_hubness_is_left_out_where_a_vector_is_missing() -> None:
    assert hubness([candidate(1, vector=EAST), candidate(2)]).tolist() == [0, 0]


def test_every_token_of_a_chinese_question_counts_the_same() -> None:
    found = row(Asked(text="年假几天", tokens=np.stack([EAST, NORTH])), candidate(tokens=[EAST]), projection=PLAIN)
    assert found["question_met"] == pytest.approx(0.5) and found["phrasing_met"] == pytest.approx(1.0)


def test_a_token_that_says_much_counts_more_in_an_english_question() -> None:
    found = row(Asked(text="annual leave", tokens=np.stack([EAST, NORTH])), candidate(tokens=[NORTH]), projection=PLAIN)
    assert found["question_met"] == pytest.approx(9 / 10)  # squares of the guessed idf 1 and 3: the unmet token has 1 of 10


def test_token_features_are_left_out_where_tokens_are_not_stored() -> None:
    found = row(Asked(text="a", tokens=np.stack([EAST])), candidate(), projection=PLAIN)
    assert found["question_met"] == found["phrasing_met"] == 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("为什么要交", "why"),
        ("多久到账", "when"),
        ("要多少钱", "how many"),
        ("在哪里办", "where"),
        ("怎么申请", "how"),
        ("可以退吗", "whether"),
    ]
    + [("how long does it take", "when"), ("how much is it", "how many"), ("how do I apply", "how"), ("Can I return it", "whether")],
)
def test_question_words_tell_the_kind_of_question(text: str, kind: str) -> None:
    assert question_kinds(text) == {kind}


def test_traditional_characters_ask_the_same_kind() -> None:
    assert question_kinds("為什麼要收費") == question_kinds("为什么要收费")


def test_when_against_how_is_another_kind_and_no_question_word_is_none() -> None:
    assert row(Asked(text="怎么申请年假"), candidate(text="什么时候申请年假"))["other_kind"] == 1
    assert row(Asked(text="申请年假"), candidate(text="什么时候申请年假"))["other_kind"] == 0


def test_density_is_the_mean_cosine_to_the_nearest_phrasing_of_another_faq() -> None:
    assert mean_nearest_cosine(np.stack([EAST, EAST, NEAR_EAST]), [1, 1, 2]) == pytest.approx(0.8)


def test_a_cosine_is_also_told_as_what_it_has_above_the_density() -> None:
    assert row(Asked(text="a", density=0.86), candidate())["above_density"] == pytest.approx(0.04)


def test_one_faq_alone_has_the_typical_density() -> None:
    assert mean_nearest_cosine(np.stack([EAST, NORTH]), [1, 1]) is None
    assert settled_density(None, 1, 0.9) == 0.9


def test_a_small_base_is_drawn_towards_the_typical_density() -> None:
    assert settled_density(0.8, 10, 0.9) == pytest.approx(0.85)
    assert settled_density(0.8, 990, 0.9) == pytest.approx(0.801)
