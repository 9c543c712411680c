"""How good a ranking or an abstention is: the measures that `evaluate` reports. Pure functions over what was found."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass


def ranking_metrics(found: Sequence[Sequence[str]], relevant: Sequence[Collection[str]]) -> dict[str, float]:
    """`top1`, `mrr` and `recall_at_5` over questions: each one's ids, best first, against the ids that are right.

    MRR is the mean of 1 / place of the first right id (Voorhees, TREC-8 1999); recall the share of the right ids found.
    """
    count = max(1, len(found))
    places = [next((place for place, id in enumerate(ids, 1) if id in right), 0) for ids, right in zip(found, relevant, strict=True)]
    recalls = [len(set(ids[:5]) & set(right)) / max(1, len(set(right))) for ids, right in zip(found, relevant, strict=True)]
    return {
        "top1": sum(place == 1 for place in places) / count,
        "mrr": sum(1 / place for place in places if place) / count,
        "recall_at_5": sum(recalls) / count,
    }


@dataclass(frozen=True, slots=True)
class Claim:
    """What was claimed for one question: how sure, whether that was enough to answer, whether it was right, whether any answer is."""

    confidence: float
    answered: bool
    right: bool
    answerable: bool


def abstention_metrics(claims: Sequence[Claim]) -> dict[str, float]:
    """How well answers are withheld.

    At the shipped threshold: `coverage`, the share of answerable questions that are answered; `wrong_rate`, the share of
    them answered wrongly; `false_answer_rate`, the share of unanswerable questions that are answered. And the last one at
    the threshold that would answer 85 % and 90 % of the answerable questions.
    """
    answerable = [claim for claim in claims if claim.answerable]
    unanswerable = [claim for claim in claims if not claim.answerable]
    return {
        "coverage": _share([claim.answered for claim in answerable]),
        "wrong_rate": _share([claim.answered and not claim.right for claim in answerable]),
        "false_answer_rate": _share([claim.answered for claim in unanswerable]),
        "false_answer_rate_at_coverage_85": _false_at(answerable, unanswerable, 0.85),
        "false_answer_rate_at_coverage_90": _false_at(answerable, unanswerable, 0.90),
    }


def _false_at(answerable: Sequence[Claim], unanswerable: Sequence[Claim], coverage: float) -> float:
    """The share of unanswerable questions at or above the confidence that `coverage` of the answerable ones reach."""
    if not answerable:
        return 0.0
    ordered = sorted((claim.confidence for claim in answerable), reverse=True)
    threshold = ordered[max(0, math.ceil(coverage * len(ordered)) - 1)]
    return _share([claim.confidence >= threshold for claim in unanswerable])


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
