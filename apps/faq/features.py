"""How alike are a question and a stored phrasing? One row of named numbers a pair, each explainable by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from apps.retrieval.indexes.analysis import fold
from apps.retrieval.vectors.token_vectors import TokenProjection
from core.maxsim import TokenMatrix, maxsim_both, unit_rows
from core.text import guess_locale
from core.types import FloatArray, Locale

PAIR_FEATURES = ("cosine", "bm25", "hubness", "question_met", "phrasing_met", "other_kind", "density", "above_density")

NEIGHBOURS = 3
SETTLING_FAQS = 10
LEAST_HUBNESS = 0.8  # two unrelated texts of multilingual-e5 have about this cosine


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Asked:
    """A question as features see it: its text and, where the encoder gives them, token vectors float32[tokens, dim] of unit rows.

    `density` says how near the different FAQs of the base lie to one another (`settled_density`); None where it is not known.
    """

    text: str
    tokens: FloatArray | None = None
    density: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidate:
    """A stored phrasing that may be what was asked.

    `cosine` to the question and `vector` (float32[dim], unit length) are None where no vectors are at hand; hubness is
    left out where one lacks its vector. `bm25` is normalised (0..1); `tokens` are the stored token vectors
    int8[tokens, kept] (`unpack_tokens`), or None.
    """

    faq_id: int
    phrasing_id: int
    text: str
    cosine: float | None
    bm25: float
    vector: FloatArray | None = None
    tokens: TokenMatrix | None = None


def pair_features(asked: Asked, candidates: Sequence[Candidate], projection: TokenProjection | None) -> FloatArray:
    """float32[candidates, len(PAIR_FEATURES)] in the order of both; what is not known counts as 0.

    - cosine, bm25: as the indexes found them.
    - hubness: mean cosine to the nearest phrasings of other FAQs among the candidates. A phrasing in a crowd is near to
      every question (Radovanović et al. 2010; the correction is that of CSLS, Conneau et al. 2018).
    - question_met, phrasing_met: MaxSim over token vectors, from the question's tokens and from the phrasing's.
    - other_kind: 1 where both ask with question words and none is of the same kind (when against how).
    - density: the base's, the same for all candidates.
    - above_density: cosine less density. Where two different FAQs have a cosine of .95, a cosine of .95 does not tell that
      two questions are the same: on five bases with densities from .89 to .96 the median cosine of questions without an
      answer was within .012 of the density.
    """
    features = np.zeros((len(candidates), len(PAIR_FEATURES)), dtype=np.float32)
    if not candidates:
        return features
    features[:, 0] = [candidate.cosine or 0.0 for candidate in candidates]
    features[:, 1] = [candidate.bm25 for candidate in candidates]
    features[:, 2] = hubness(candidates)
    features[:, 3], features[:, 4] = _met(asked, candidates, projection)
    kinds = question_kinds(asked.text)
    features[:, 5] = [_asks_otherwise(kinds, candidate.text) for candidate in candidates]
    features[:, 6] = asked.density or 0.0
    features[:, 7] = features[:, 0] - features[:, 6]
    return features


def hubness(candidates: Sequence[Candidate]) -> FloatArray:
    """float32[candidates]: the mean cosine to the `NEIGHBOURS` nearest phrasings of other FAQs, each at least `LEAST_HUBNESS`.

    The floor makes a knowledge base of one FAQ no special case. 0 where a vector is missing.
    """
    vectors = [candidate.vector for candidate in candidates if candidate.vector is not None]
    if len(vectors) < len(candidates):
        return np.zeros(len(candidates), dtype=np.float32)
    matrix = np.stack(vectors)
    owners = np.array([candidate.faq_id for candidate in candidates])
    cosines = np.where(owners[:, None] == owners[None, :], LEAST_HUBNESS, np.maximum(matrix @ matrix.T, LEAST_HUBNESS))
    padded = np.concatenate([cosines, np.full((len(candidates), NEIGHBOURS), LEAST_HUBNESS)], axis=1)
    return np.asarray(np.partition(padded, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:].mean(axis=1), dtype=np.float32)


def mean_nearest_cosine(vectors: FloatArray, owners: Sequence[int]) -> float | None:
    """The mean, over phrasings float32[n, dim], of the cosine to the nearest phrasing of another FAQ; None where there is one FAQ."""
    of = np.asarray(owners)
    if len(set(owners)) < 2:
        return None
    nearest = [float(np.max((vectors @ vectors[place])[of != owner])) for place, owner in enumerate(owners)]
    return float(np.mean(nearest))


def settled_density(mean_nearest: float | None, faqs: int, typical: float) -> float:
    """A base's density, drawn towards what is typical as if `SETTLING_FAQS` such FAQs were in it too: two FAQs tell little."""
    if mean_nearest is None:
        return typical
    return (mean_nearest * faqs + typical * SETTLING_FAQS) / (faqs + SETTLING_FAQS)


def question_kinds(text: str) -> frozenset[str]:
    """What kinds of question a text asks: `why`, `when`, `how many`, `where`, `who`, `how`, `whether`; several or none."""
    folded = fold(text)
    return frozenset(kind for kind, pattern in _KINDS if pattern.search(folded))


def _met(asked: Asked, candidates: Sequence[Candidate], projection: TokenProjection | None) -> tuple[FloatArray, FloatArray]:
    tokens = [candidate.tokens for candidate in candidates if candidate.tokens is not None]
    if projection is None or asked.tokens is None or len(tokens) < len(candidates):
        nothing = np.zeros(len(candidates), dtype=np.float32)
        return nothing, nothing
    question = projection.project(asked.tokens)
    if guess_locale(asked.text) is Locale.ZH:
        return maxsim_both(question, tokens)
    rows = unit_rows(tokens)
    splits = np.split(projection.informativeness(rows), np.cumsum([len(one) for one in tokens])[:-1])
    return maxsim_both(question, tokens, query_weights=projection.informativeness(question), passage_weights=splits)


def _asks_otherwise(asked: frozenset[str], phrasing: str) -> bool:
    stored = _stored_kinds(phrasing)
    return bool(asked and stored and not asked & stored)


_stored_kinds = lru_cache(maxsize=20_000)(question_kinds)

# "What" is left out: it asks for anything (what reason, what way, what price), so it tells no two questions apart.
_KINDS = [
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("why", r"为什么|为何|为啥|原因|怎么会|怎么就|怎么回事|咋回事|\bwhy\b|how come|\breasons?\b|\bcauses?\b"),
        (
            "when",
            r"什么时候|何时|几点|多久|多长时间|几天|多少天|几号|哪天|什么时间|几个月|几年"
            r"|\bwhen\b|how long|what time|how soon|how many (days|weeks|months|hours)|what (date|day)",
        ),
        (
            "how many",
            r"多少(?!天)|几(?!天|点|号|个月|年)|多大|多高|多贵|什么价"
            r"|how (much|many(?! (days|weeks|months|hours)))|what (price|amount|percent)|what does .{0,40}cost",
        ),
        ("where", r"哪里|哪儿|在哪|什么地方|何处|哪能|\bwhere\b"),
        ("who", r"谁|\bwho\b|\bwhom\b"),
        (
            "how",
            r"怎么(?!会|就|回事|样|了)|如何|怎样|咋(?!回事|了)|步骤|流程|什么(办法|方法|方式|手续)"
            r"|\bhow (do|to|can|does|could|would|should|i)\b|steps to|(way|process|procedure) (to|of|for)",
        ),
        (
            "whether",
            r"吗|么[?？]?$|能不能|可不可以|是否|是不是|有没有|会不会|行不行|要不要|能否|可否|需不需要|算不算"
            r"|^(can|could|is|are|do|does|did|will|would|should|may|am)\b",
        ),
    )
]
