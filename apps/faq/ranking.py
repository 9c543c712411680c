"""Which FAQ fits best, how sure is that, and which feature said so? Linear scores and a logistic probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apps.faq.calibration import Calibration, Evidence
from apps.faq.features import PAIR_FEATURES, Asked, Candidate, pair_features
from core.text import guess_locale
from core.types import FloatArray

EXPLAINED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedFAQ:
    """An FAQ with its best phrasing. `contributions` add up to `score`, one for each feature; only the best few have them."""

    faq_id: int
    phrasing_id: int
    text: str
    score: float
    contributions: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """FAQs, best first, and the probability (0..1) that the first is what was asked.

    `reasons` add up, with the fit's intercept, to the logit of `confidence`. Without candidates nothing is accepted.
    """

    faqs: tuple[RankedFAQ, ...]
    confidence: float
    accepted: bool
    evidence: Evidence
    reasons: Mapping[str, float]


def rank(asked: Asked, candidates: Sequence[Candidate], calibration: Calibration) -> Ranking:
    """The FAQs of the candidates by their best phrasing, under the fit for the question's language and the evidence at hand."""
    evidence = available_evidence(asked, candidates, calibration)
    if not candidates:
        return Ranking(faqs=(), confidence=0.0, accepted=False, evidence=evidence, reasons={})
    fit = calibration.fits[guess_locale(asked.text)][evidence]
    known = asked if asked.density is not None else replace(asked, density=calibration.typical_density)
    features = pair_features(known, candidates, calibration.projection)
    scores = features @ _as_row(fit.ranking)
    order = _best_phrasings(candidates, scores)
    faqs = tuple(
        RankedFAQ(
            faq_id=candidates[place].faq_id,
            phrasing_id=candidates[place].phrasing_id,
            text=candidates[place].text,
            score=float(scores[place]),
            contributions=_products(features[place], fit.ranking) if rank_no < EXPLAINED else {},
        )
        for rank_no, place in enumerate(order)
    )
    reasons = _products(features[order[0]], fit.confidence)
    confidence = 1.0 / (1.0 + math.exp(-(fit.intercept + sum(reasons.values()))))
    return Ranking(faqs=faqs, confidence=confidence, accepted=confidence >= fit.threshold, evidence=evidence, reasons=reasons)


def available_evidence(asked: Asked, candidates: Sequence[Candidate], calibration: Calibration) -> Evidence:
    """The best evidence that every candidate has."""
    if any(candidate.cosine is None for candidate in candidates):
        return Evidence.LEXICAL
    if calibration.projection is None or asked.tokens is None or any(candidate.tokens is None for candidate in candidates):
        return Evidence.VECTORS
    return Evidence.TOKENS


def _best_phrasings(candidates: Sequence[Candidate], scores: FloatArray) -> list[int]:
    """Places of each FAQ's best phrasing, best FAQ first; equal scores go by the lower id, so that order is stable."""
    values = scores.tolist()
    order = sorted(range(len(candidates)), key=lambda place: (-values[place], candidates[place].faq_id, candidates[place].phrasing_id))
    first: dict[int, int] = {}
    for place in order:
        first.setdefault(candidates[place].faq_id, place)
    return list(first.values())


def _products(features: FloatArray, coefficients: Mapping[str, float]) -> dict[str, float]:
    return {name: float(features[PAIR_FEATURES.index(name)]) * coefficient for name, coefficient in coefficients.items()}


def _as_row(coefficients: Mapping[str, float]) -> FloatArray:
    return np.array([coefficients.get(name, 0.0) for name in PAIR_FEATURES], dtype=np.float32)
