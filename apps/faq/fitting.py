"""Which coefficients rank FAQs best and make confidence a probability? Listwise softmax and logistic regression in numpy.

Every figure that is reported comes from folds that the coefficients have not seen: all questions of one FAQ in one fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.faq.calibration import Evidence, Fit
from apps.faq.features import PAIR_FEATURES
from apps.faq.fit_examples import FOLDS, Example, Shape
from core.types import JSONDict, Locale

Array = NDArray[np.float64]

OWN_SHARE = 0.75
MOST_FALSE = 0.2
# What is more likely wrong than right is not said; but words alone, which is what is left while no encoder can be reached,
# are that sure of 7 % of Chinese questions only.
LEAST_CONFIDENCE = {Evidence.TOKENS: 0.5, Evidence.VECTORS: 0.5, Evidence.LEXICAL: 0.0}
STEPS, RATE, RIDGE = 300, 0.05, 0.003
RANKING_SHAPES = ("all", "one phrasing", "another phrasing")

_SIGNS = {"cosine": 1, "bm25": 1, "hubness": -1, "question_met": 1, "phrasing_met": 1, "other_kind": -1, "density": -1, "above_density": 1}
RANKING_FEATURES = {
    Evidence.TOKENS: ("cosine", "hubness", "question_met", "phrasing_met"),
    Evidence.VECTORS: ("cosine", "hubness", "bm25"),
    Evidence.LEXICAL: ("bm25",),
}
# For Chinese, MaxSim adds nothing to what cosine knows about near misses; for English it knows more than cosine.
CONFIDENCE_FEATURES = {
    (Locale.ZH, Evidence.TOKENS): ("above_density", "other_kind"),
    (Locale.EN, Evidence.TOKENS): ("question_met", "phrasing_met", "density", "other_kind"),
    (Locale.ZH, Evidence.VECTORS): ("above_density", "other_kind"),
    (Locale.EN, Evidence.VECTORS): ("above_density", "other_kind"),
    (Locale.ZH, Evidence.LEXICAL): ("bm25", "other_kind"),
    (Locale.EN, Evidence.LEXICAL): ("bm25", "other_kind"),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Claims:
    """The first FAQ of each question: its features, whether it is right, whether any is, its fold, and the row's weight."""

    features: Array
    right: NDArray[np.bool_]
    answerable: NDArray[np.bool_]
    fold: NDArray[np.int64]
    weight: Array


def fit_language(shapes: Sequence[Shape], locale: Locale, evidence: Evidence) -> tuple[Fit, JSONDict]:
    """The fit for questions of one language, and how good it is on held-out folds.

    One language's questions are too few to trust alone. Ranking coefficients are `OWN_SHARE` the language's own, for the
    rest those of all languages together; the direction of confidence is that of all languages where its features mean the
    same in each, and then slope, offset and threshold are the language's own.
    """
    own = [shape for shape in shapes if shape.data.locale is locale]
    names = CONFIDENCE_FEATURES[locale, evidence]
    wide = own if {"question_met", "phrasing_met"} & set(names) else shapes
    held: list[tuple[Claims, Array]] = []
    for fold in range(FOLDS):
        ranking = _fit_ranking_between(shapes, own, evidence, leave_out=fold)
        claims = _claims(own, ranking)
        coefficients, intercept = _fit_logit(_claims(wide, ranking), names, leave_out=fold)
        held.append((_in_fold(claims, fold), _columns(claims.features[claims.fold == fold], names) @ coefficients + intercept))
    claims, logits = _joined([claims for claims, _ in held]), np.concatenate([logits for _, logits in held])
    slope, offset = _platt(logits, claims)
    threshold = _threshold(1 / (1 + np.exp(-(slope * logits + offset))), claims, LEAST_CONFIDENCE[evidence])
    ranking = _fit_ranking_between(shapes, own, evidence)
    coefficients, intercept = _fit_logit(_claims(wide, ranking), names)
    fit = Fit(
        ranking=_rounded(ranking),
        confidence=_rounded(dict(zip(names, slope * coefficients, strict=True))),
        intercept=round(float(slope * intercept + offset), 4),
        threshold=round(threshold, 4),
    )
    return fit, _held_out_metrics(claims, 1 / (1 + np.exp(-(slope * logits + offset))), threshold)


def _fit_ranking_between(
    shapes: Sequence[Shape], own: Sequence[Shape], evidence: Evidence, leave_out: int | None = None
) -> dict[str, float]:
    names = RANKING_FEATURES[evidence]
    if len(names) == 1:
        return {names[0]: 1.0}
    mean = OWN_SHARE * _fit_ranking(own, names, leave_out) + (1 - OWN_SHARE) * _fit_ranking(shapes, names, leave_out)
    return dict(zip(names, mean, strict=True))


def _fit_ranking(shapes: Sequence[Shape], names: Sequence[str], leave_out: int | None) -> Array:
    """Maximises the softmax probability of the right phrasings among the candidates (ListNet with one right FAQ, Cao et al. 2007)."""
    wanted = [shape for shape in shapes if shape.name in RANKING_SHAPES]
    sets = sorted({shape.data.name for shape in wanted})
    lists = {name: _lists([shape for shape in wanted if shape.data.name == name], names, leave_out) for name in sets}
    scale = np.concatenate([features for features, _, _ in lists.values()]).std(axis=0) + 1e-9
    signs = np.array([_SIGNS[name] for name in names])
    weights, first, second = np.zeros(len(names)), np.zeros(len(names)), np.zeros(len(names))
    for step in range(1, STEPS + 1):
        slope = sum(_listwise_gradient(features / scale, right, starts, weights) for features, right, starts in lists.values()) / len(lists)
        slope = slope + 2 * RIDGE * weights
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        weights = weights - RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        weights = np.where(weights * signs > 0, weights, 0.0)
    result: Array = weights / scale
    return result


def _lists(shapes: Sequence[Shape], names: Sequence[str], leave_out: int | None) -> tuple[Array, NDArray[np.bool_], NDArray[np.int64]]:
    """Rows of the questions that have both right and wrong candidates, and where each question's rows start."""
    used = [
        example
        for shape in shapes
        for example in shape.examples
        if example.fold != leave_out and example.right.any() and not example.right.all()
    ]
    starts = np.concatenate([[0], np.cumsum([len(example.right) for example in used])[:-1]]).astype(np.int64)
    return (
        _columns(np.concatenate([example.features for example in used]), names),
        np.concatenate([example.right for example in used]),
        starts,
    )


def _listwise_gradient(features: Array, right: NDArray[np.bool_], starts: NDArray[np.int64], weights: Array) -> Array:
    scores = features @ weights
    everything = _softmax(scores, starts)
    wanted = _softmax(np.where(right, scores, -1e9), starts)
    gradient: Array = features.T @ (everything - wanted) / len(starts)
    return gradient


def _softmax(scores: Array, starts: NDArray[np.int64]) -> Array:
    counts = np.diff(np.append(starts, len(scores)))
    powers = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), counts))
    result: Array = powers / np.repeat(np.add.reduceat(powers, starts), counts)
    return result


def _claims(shapes: Sequence[Shape], ranking: Mapping[str, float]) -> Claims:
    names, coefficients = list(ranking), np.array(list(ranking.values()))
    rows: list[tuple[Example, int, float]] = []
    for shape in shapes:
        used = [example for example in shape.examples if len(example.right)]
        rows += [(example, int(np.argmax(_columns(example.features, names) @ coefficients)), 1.0 / len(used)) for example in used]
    return Claims(
        features=np.stack([example.features[place] for example, place, _ in rows]).astype(np.float64),
        right=np.array([example.right[place] for example, place, _ in rows]),
        answerable=np.array([example.answerable for example, _, _ in rows]),
        fold=np.array([example.fold for example, _, _ in rows]),
        weight=np.array([weight for _, _, weight in rows]),
    )


def _fit_logit(claims: Claims, names: Sequence[str], leave_out: int | None = None) -> tuple[Array, float]:
    """Logistic regression by Newton's method; a coefficient of the wrong sign is left out and the rest fitted again."""
    seen = claims.fold != leave_out
    kept = list(names)
    while True:
        coefficients, intercept = _newton(_columns(claims.features[seen], kept), claims.right[seen], claims.weight[seen])
        good = [name for name, coefficient in zip(kept, coefficients, strict=True) if coefficient * _SIGNS[name] > 0]
        if len(good) == len(kept) or not good:
            found = dict(zip(kept, coefficients, strict=True))
            return np.array([found.get(name, 0.0) for name in names]), intercept
        kept = good


def _newton(features: Array, labels: NDArray[np.bool_], weight: Array) -> tuple[Array, float]:
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    rows = np.column_stack([(features - mean) / scale, np.ones(len(features))])
    weight, ridge = weight / weight.sum(), np.append(np.full(features.shape[1], 1e-4), 0.0)
    solution = np.zeros(rows.shape[1])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-(rows @ solution)))
        curvature = rows.T @ (rows * (weight * chance * (1 - chance))[:, None]) + np.diag(ridge + 1e-9)
        solution = solution - np.linalg.solve(curvature, rows.T @ (weight * (chance - labels)) + ridge * solution)
    coefficients: Array = solution[:-1] / scale
    return coefficients, float(solution[-1] - coefficients @ mean)


def _platt(logits: Array, claims: Claims) -> tuple[float, float]:
    """Slope and offset that make held-out logits the log odds of being right, every row with its own weight (Platt 1999)."""
    slope, offset = _newton(logits[:, None], claims.right, claims.weight)
    return float(slope[0]), offset


def _threshold(confidence: Array, claims: Claims, least: float) -> float:
    """The lowest confidence at which at most `MOST_FALSE` of the unanswerable questions would be answered, by row weight.

    Never below `least`.
    """
    order = np.argsort(-confidence[~claims.answerable])
    shares = np.cumsum(claims.weight[~claims.answerable][order]) / claims.weight[~claims.answerable].sum()
    return max(least, float(confidence[~claims.answerable][order][int(np.searchsorted(shares, MOST_FALSE))]))


def _held_out_metrics(claims: Claims, confidence: Array, threshold: float) -> JSONDict:
    answerable, weight, taken = claims.answerable, claims.weight, confidence >= threshold
    ordered = np.argsort(-confidence[answerable])
    reached = np.cumsum(weight[answerable][ordered]) / weight[answerable].sum()
    at_85 = confidence[answerable][ordered][int(np.searchsorted(reached, 0.85))]
    bins = np.clip((confidence * 10).astype(int), 0, 9)
    gaps = [
        abs(np.average(confidence[bins == one] - claims.right[bins == one], weights=weight[bins == one])) * weight[bins == one].sum()
        for one in set(bins)
    ]
    return {
        "questions": len(confidence),
        "top1": _share(claims.right, answerable, weight),
        "coverage": _share(taken, answerable, weight),
        "wrong_rate": _share(taken & ~claims.right, answerable, weight),
        "false_answer_rate": _share(taken, ~answerable, weight),
        "false_answer_rate_at_coverage_85": _share(confidence >= at_85, ~answerable, weight),
        "expected_calibration_error": round(float(sum(gaps) / weight.sum()), 4),
    }


def _share(flags: NDArray[np.bool_], among: NDArray[np.bool_], weight: Array) -> float:
    return round(float(weight[flags & among].sum() / max(weight[among].sum(), 1e-12)), 4)


def _in_fold(claims: Claims, fold: int) -> Claims:
    held = claims.fold == fold
    return Claims(
        features=claims.features[held],
        right=claims.right[held],
        answerable=claims.answerable[held],
        fold=claims.fold[held],
        weight=claims.weight[held],
    )


def _joined(parts: Sequence[Claims]) -> Claims:
    return Claims(
        features=np.concatenate([part.features for part in parts]),
        right=np.concatenate([part.right for part in parts]),
        answerable=np.concatenate([part.answerable for part in parts]),
        fold=np.concatenate([part.fold for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
    )


def _columns(features: NDArray[np.floating], names: Sequence[str]) -> Array:
    return features[:, [PAIR_FEATURES.index(name) for name in names]].astype(np.float64)


def _rounded(coefficients: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in coefficients.items() if value}
