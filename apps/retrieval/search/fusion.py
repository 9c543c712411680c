"""How do what words say and what vectors say become one order? A sum of scores with weights fitted for one encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from apps.retrieval.vectors.token_vectors import weights_of
from core.types import FloatArray, JSONValue

WINDOW = 32  # tokens: about a sentence


class Evidence(StrEnum):
    """What a ranking rests on; each has weights of its own."""

    TOKENS = "tokens"
    VECTORS = "vectors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """What each feature counts for. `first` orders all candidates; it needs no token vectors."""

    cosine: float
    bm25: float
    met: float = 0.0
    near: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFit:
    """How sentences are scored (`met`, `words`, less `lag` of their passage), and how sure the best one is.

    `confidence` with `intercept` is a logit; at least `threshold` is needed to answer. `typical` are the values of passages and
    sentences that do not answer, for bases with too few of them to compare with.
    """

    met: float
    words: float
    lag: float
    confidence: Mapping[str, float]
    intercept: float
    threshold: float
    typical: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fusion:
    """The weights for the encoder `encoder`, for each kind of evidence.

    `answers` says how sure an answer is, `across` of one in another language than the question, where that was fitted: no words are
    shared then, and all similarities are lower. `spread` says that scores are first stretched to 0..1 over the candidates: for encoders
    that none was fitted for, since no two spread their cosines alike. `provenance` says on what the weights rest and how good they were.
    """

    encoder: str
    weights: Mapping[Evidence, Weights]
    answers: AnswerFit
    across: AnswerFit | None = None
    spread: bool = False
    provenance: Mapping[str, JSONValue] = field(default_factory=dict)


class Scored(NamedTuple):
    """What an index or a comparison says of one passage; None where it says nothing.

    `bm25` is 0 where words did not find it; `met` is MaxSim from the question's tokens to the passage's, weighted by what a token
    says; `near` is the same within `WINDOW` tokens in a row, where that is best. `question` is the extra question that matched best:
    by its words or, where it has none of them, with a better cosine than the passage's own.
    """

    id: int
    cosine: float | None
    bm25: float
    met: float | None = None
    near: float | None = None
    question: int | None = None


def fuse(candidates: Sequence[Scored], fusion: Fusion) -> FloatArray:
    """float32[candidates]: the score of each, in their order. Only comparable within one question.

    Tokens count where every candidate has them; without any cosine, words decide alone. For an unknown encoder this is the
    convex combination of min-max scores of Bruch, Gai and Ingber (TOIS 2023).
    """
    bm25 = np.array([one.bm25 for one in candidates], dtype=np.float32)
    cosines = [one.cosine for one in candidates]
    if not candidates or None in cosines:
        return bm25
    cosine = np.array(cosines, dtype=np.float32)
    if fusion.spread:
        cosine, bm25 = (cosine - cosine.min()) / max(float(np.ptp(cosine)), 1e-6), bm25 / max(float(bm25.max()), 1e-6)
    evidence = evidence_of(candidates)
    weights = fusion.weights[evidence]
    scores = weights.cosine * cosine + weights.bm25 * bm25
    if evidence is Evidence.TOKENS:
        met = np.array([one.met for one in candidates], dtype=np.float32)
        scores += weights.met * met + weights.near * np.array([one.near or 0.0 for one in candidates], dtype=np.float32)
    return np.asarray(scores, dtype=np.float32)


def weighted_parts(scored: Scored, fusion: Fusion) -> dict[str, float]:
    """What each feature of a passage counts for; they add up to its fused score, where nothing is stretched."""
    weights = fusion.weights[evidence_of([scored])]
    says = {"cosine": scored.cosine, "bm25": scored.bm25, "met": scored.met, "near": scored.near}
    return {name: getattr(weights, name) * value for name, value in says.items() if value is not None}


def evidence_of(candidates: Sequence[Scored]) -> Evidence:
    """The best evidence that every candidate has."""
    return Evidence.TOKENS if all(one.met is not None for one in candidates) else Evidence.VECTORS


def load_fusion(model_id: str) -> Fusion:
    """The weights fitted for this encoder; for one that none were fitted for, the fallback."""
    return _packaged().get(weights_of(model_id)) or fallback()


@cache
def fallback() -> Fusion:
    """For unknown encoders: words and vectors count the same, and words alone say how sure an answer is."""
    weights = Weights(cosine=0.5, bm25=0.5)
    answers = AnswerFit(met=0.0, words=1.0, lag=1.0, confidence={"sentence_words": 5.7}, intercept=-3.2, threshold=0.5)
    return Fusion(encoder="", weights=dict.fromkeys(Evidence, weights), answers=answers, spread=True)


def parse_fusion(content: str) -> Fusion:
    """Weights from their JSON text. Raises ValueError, KeyError or TypeError where they are none."""
    row = json.loads(content)
    weights = {evidence: Weights(**row["weights"][evidence.value]) for evidence in Evidence}
    across = AnswerFit(**row["across"]) if row.get("across") else None
    return Fusion(encoder=row["encoder"], weights=weights, answers=AnswerFit(**row["answers"]), across=across, provenance=row["provenance"])


def dump_fusion(fusion: Fusion) -> str:
    """The JSON text that `parse_fusion` reads."""
    weights = {evidence.value: asdict(weights) for evidence, weights in fusion.weights.items()}
    across = {"across": asdict(fusion.across)} if fusion.across else {}
    row = {
        "encoder": fusion.encoder,
        "provenance": dict(fusion.provenance),
        "weights": weights,
        "answers": asdict(fusion.answers),
        **across,
    }
    return json.dumps(row, indent=1, ensure_ascii=False) + "\n"


@cache
def _packaged() -> dict[str, Fusion]:
    files = (file for file in resources.files("apps.retrieval.search").joinpath("fusions").iterdir() if file.name.endswith(".json"))
    fusions = (parse_fusion(file.read_text(encoding="utf-8")) for file in files)
    return {weights_of(fusion.encoder): fusion for fusion in fusions}
