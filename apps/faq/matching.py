"""Which FAQ a question means: the same question exactly, else words and vectors together, ranked by fitted features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apps.faq.calibration import Calibration, load_calibration
from apps.faq.density import base_density
from apps.faq.features import Asked, Candidate
from apps.faq.ranking import rank
from apps.faq.selectors import StoredPhrasing, phrasings
from apps.faq.services import question_digest
from apps.retrieval.search.candidates import EntryScores, find_candidates
from apps.retrieval.search.nearest import PROPOSED
from core.errors import IndexMismatch
from core.types import EncodedQuery, EntryKind, JSONValue, Query, Scope, SearchMode

CANDIDATES = PROPOSED[EntryKind.FAQ]


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchedFAQ:
    """An FAQ with the phrasing that fits best, its ranking score and what that is made of."""

    faq_id: int
    external_id: str
    phrasing: str
    score: float
    contributions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class FAQMatches:
    """The FAQs that a question may mean, best first; how sure the first is (0..1) and whether that is enough.

    `reasons` are the terms of the confidence's logit; `exact` says that a phrasing is the very question; `degraded` that
    words or vectors could not be searched.
    """

    faqs: tuple[MatchedFAQ, ...]
    confidence: float
    accepted: bool
    reasons: Mapping[str, JSONValue] = field(default_factory=dict)
    exact: bool = False
    degraded: bool = False


def match_faqs(query: Query) -> FAQMatches:
    """The FAQs for a question; one with a phrasing that is the same question leads, with confidence 1."""
    scores, degraded = _candidates(query.text, query.encoded, query.scope)
    digest = question_digest(query.text)
    found = phrasings([one.id for one in scores], digest, query.scope)
    calibration = load_calibration(query.encoded.encoder if query.encoded else "")
    ranking = rank(_asked(query, calibration), _pairs(scores, found), calibration)
    external_ids = {one.faq_id: one.external_id for one in found}
    matched = tuple(
        MatchedFAQ(
            faq_id=one.faq_id, external_id=external_ids[one.faq_id], phrasing=one.text, score=one.score, contributions=one.contributions
        )
        for one in ranking.faqs
    )
    same = next((one for one in found if one.digest == digest), None)
    if same is not None:
        first = MatchedFAQ(faq_id=same.faq_id, external_id=same.external_id, phrasing=same.text, score=1.0)
        rest = tuple(one for one in matched if one.faq_id != same.faq_id)
        return FAQMatches(faqs=(first, *rest), confidence=1.0, accepted=True, exact=True, degraded=degraded)
    return FAQMatches(
        faqs=matched, confidence=ranking.confidence, accepted=ranking.accepted, reasons=dict(ranking.reasons), degraded=degraded
    )


def rank_by_one_index(query: Query, mode: SearchMode) -> list[str]:
    """The ids of the FAQs by words alone or by vectors alone, best first: what the whole is compared with."""
    scores = find_candidates(query.text, query.encoded, kind=EntryKind.FAQ, scope=query.scope, k=CANDIDATES, mode=mode).entries
    order = {one.id: one.bm25 if mode is SearchMode.LEXICAL else one.cosine or 0.0 for one in scores}
    found = phrasings(list(order), "", query.scope)
    found.sort(key=lambda one: order[one.id], reverse=True)
    return list(dict.fromkeys(one.external_id for one in found))


def _asked(query: Query, calibration: Calibration) -> Asked:
    by = query.encoded.encoder if query.encoded and not calibration.is_fallback else ""
    density = base_density(query.scope, by, calibration.typical_density) if by else None
    return Asked(text=query.text, tokens=query.encoded.token_vectors if query.encoded else None, density=density)


def _candidates(text: str, encoded: EncodedQuery | None, scope: Scope) -> tuple[list[EntryScores], bool]:
    """Candidates by words and vectors; by what is left, and marked so, where one cannot be reached or another encoder made the vectors."""
    try:
        found = find_candidates(text, encoded, kind=EntryKind.FAQ, scope=scope, k=CANDIDATES)
        return found.entries, found.degraded or encoded is None
    except IndexMismatch:
        return find_candidates(text, None, kind=EntryKind.FAQ, scope=scope, k=CANDIDATES, mode=SearchMode.LEXICAL).entries, True


def _pairs(scores: Sequence[EntryScores], found: Sequence[StoredPhrasing]) -> list[Candidate]:
    questions = {question.id: question for question in found}
    return [
        Candidate(
            faq_id=question.faq_id,
            phrasing_id=one.id,
            text=question.text,
            cosine=one.cosine,
            bm25=one.bm25,
            vector=one.vector,
            tokens=one.tokens,
        )
        for one in scores
        if (question := questions.get(one.id)) is not None
    ]
