"""Ranking: FAQs in the order of their best phrasing, with a probability whose parts can be read."""

import math

import numpy as np
import pytest

from apps.faq.calibration import Calibration, Evidence, Fit
from apps.faq.features import Asked, Candidate
from apps.faq.ranking import rank
from core.types import Locale

FIT = Fit(ranking={"cosine": 10.0, "bm25": 1.0}, confidence={"cosine": 20.0, "density": -10.0}, intercept=-8.0, threshold=0.5)
WORDS = Fit(ranking={"bm25": 1.0}, confidence={"bm25": 4.0}, intercept=-2.0, threshold=0.6)
PARTS = {Evidence.TOKENS: FIT, Evidence.VECTORS: FIT, Evidence.LEXICAL: WORDS}
CALIBRATION = Calibration(encoder="e@1", fits=dict.fromkeys(Locale, PARTS), typical_density=0.9)


def candidate(faq_id: int, phrasing_id: int, cosine: float | None, bm25: float = 0.0) -> Candidate:
    return Candidate(faq_id=faq_id, phrasing_id=phrasing_id, text=f"phrasing {phrasing_id}", cosine=cosine, bm25=bm25)


def test_an_faq_stands_where_its_best_phrasing_does() -> None:
    ranking = rank(Asked(text="q"), [candidate(1, 10, 0.7), candidate(2, 20, 0.8), candidate(1, 11, 0.9)], CALIBRATION)
    assert [(faq.faq_id, faq.phrasing_id) for faq in ranking.faqs] == [(1, 11), (2, 20)]


def test_contributions_add_up_to_the_score() -> None:
    first = rank(Asked(text="q"), [candidate(1, 10, 0.9, bm25=0.5)], CALIBRATION).faqs[0]
    assert first.score == pytest.approx(sum(first.contributions.values())) == pytest.approx(9.5)


def test_reasons_and_intercept_make_the_logit() -> None:
    ranking = rank(Asked(text="q", density=0.95), [candidate(1, 10, 0.9)], CALIBRATION)
    assert sum(ranking.reasons.values()) - 8.0 == pytest.approx(0.5, abs=1e-5)
    assert ranking.confidence == pytest.approx(1 / (1 + math.exp(-0.5)), abs=1e-5) and ranking.accepted


def test_an_unknown_density_is_the_typical_one() -> None:
    assert rank(Asked(text="q"), [candidate(1, 10, 0.9)], CALIBRATION).reasons["density"] == pytest.approx(-9.0)


def test_the_same_cosine_means_less_where_faqs_lie_close_together() -> None:
    loose, dense = (rank(Asked(text="q", density=density), [candidate(1, 10, 0.9)], CALIBRATION) for density in (0.8, 0.97))
    assert loose.confidence > dense.confidence


def test_without_candidates_nothing_is_accepted() -> None:
    ranking = rank(Asked(text="q"), [], CALIBRATION)
    assert (ranking.faqs, ranking.confidence, ranking.accepted) == ((), 0.0, False)


def test_without_vectors_words_decide_under_their_own_threshold() -> None:
    ranking = rank(Asked(text="q"), [candidate(1, 10, None, bm25=0.55), candidate(2, 20, None, bm25=0.4)], CALIBRATION)
    assert ranking.evidence is Evidence.LEXICAL and ranking.faqs[0].faq_id == 1
    assert ranking.confidence == pytest.approx(0.5498, abs=1e-4) and not ranking.accepted


def test_tokens_are_evidence_only_where_they_can_be_projected() -> None:
    stored = Candidate(faq_id=1, phrasing_id=1, text="p", cosine=0.9, bm25=0.1, tokens=np.ones((1, 3), np.int8))
    assert rank(Asked(text="q", tokens=np.ones((1, 3), np.float32)), [stored], CALIBRATION).evidence is Evidence.VECTORS


def test_equal_scores_keep_one_order() -> None:
    pair = [candidate(2, 20, 0.9), candidate(1, 10, 0.9)]
    assert [faq.faq_id for faq in rank(Asked(text="q"), pair, CALIBRATION).faqs] == [1, 2]
    assert [faq.faq_id for faq in rank(Asked(text="q"), pair[::-1], CALIBRATION).faqs] == [1, 2]


def test_the_language_of_the_question_chooses_the_fit() -> None:
    strict = dict.fromkeys(Evidence, Fit(ranking={"cosine": 1.0}, confidence={"cosine": 0.0}, intercept=-9.0, threshold=0.5))
    calibration = Calibration(encoder="e@1", fits={Locale.EN: PARTS, Locale.ZH: strict}, typical_density=0.8)
    assert rank(Asked(text="annual leave"), [candidate(1, 10, 0.9)], calibration).accepted
    assert not rank(Asked(text="年假几天"), [candidate(1, 10, 0.9)], calibration).accepted
