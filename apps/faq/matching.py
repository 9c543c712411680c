"""Which FAQ a question means: the same question exactly, else words and vectors together, ranked by fitted features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.faq.models import FAQ, FAQQuestion
from apps.faq.selectors import exact_phrasings, phrasings
from apps.faq.services import question_digest
from apps.retrieval.candidates import EntryScores, find_candidates
from core.errors import IndexMismatch
from core.types import EncodedQuery, EntryKind, Query, Scope, SearchMode

CANDIDATES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedFAQ:
    """An FAQ with the phrasing that fits best, its ranking score and what that is made of."""

    faq: FAQ
    phrasing: str
    score: float
    cosine: float | None
    bm25: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """The FAQs that a question may mean, best first; how sure the first is (0..1) and whether that is enough."""

    faqs: tuple[RankedFAQ, ...]
    confidence: float
    accepted: bool
    exact: bool = False
    degraded: bool = False


def rank_faqs(query: Query, *, mode: SearchMode = SearchMode.HYBRID) -> Ranking:
    """The ranking for a question; a phrasing that is the same question leads it with confidence 1.

    With another mode than hybrid the order is that of one index alone, for evaluation and explanation.
    """
    scores, degraded = _candidates(query.text, query.encoded, query.scope, mode)
    ranked = _rank(scores, query.scope, mode)
    if mode is not SearchMode.HYBRID:
        return Ranking(faqs=ranked, confidence=0.0, accepted=False, degraded=degraded)
    exact = exact_phrasings(question_digest(query.text), query.scope)
    if exact:
        first = RankedFAQ(faq=exact[0].faq, phrasing=exact[0].text, score=1.0, cosine=1.0, bm25=1.0)
        rest = tuple(one for one in ranked if one.faq.pk != first.faq.pk)
        return Ranking(faqs=(first, *rest), confidence=1.0, accepted=True, exact=True, degraded=degraded)
    confidence = ranked[0].score if ranked else 0.0
    return Ranking(faqs=ranked, confidence=confidence, accepted=confidence >= 0.88, degraded=degraded)


def _candidates(text: str, encoded: EncodedQuery | None, scope: Scope, mode: SearchMode) -> tuple[list[EntryScores], bool]:
    """Candidates by words and vectors; by words alone, and marked so, where the vectors were made by another encoder."""
    try:
        return find_candidates(text, encoded, kind=EntryKind.FAQ, scope=scope, k=CANDIDATES, mode=mode), False
    except IndexMismatch:
        return find_candidates(text, encoded, kind=EntryKind.FAQ, scope=scope, k=CANDIDATES, mode=SearchMode.LEXICAL), True


def _rank(scores: Sequence[EntryScores], scope: Scope, mode: SearchMode) -> tuple[RankedFAQ, ...]:
    found = phrasings([one.id for one in scores], scope)
    best: dict[int, RankedFAQ] = {}
    for one in scores:
        question: FAQQuestion | None = found.get(one.id)
        if question is None:
            continue
        score = {SearchMode.LEXICAL: one.bm25, SearchMode.VECTOR: one.cosine or 0.0}.get(mode, (one.cosine or 0.0) + 0.1 * one.bm25)
        if question.faq_id not in best or score > best[question.faq_id].score:
            best[question.faq_id] = RankedFAQ(faq=question.faq, phrasing=question.text, score=score, cosine=one.cosine, bm25=one.bm25)
    return tuple(sorted(best.values(), key=lambda one: one.score, reverse=True))
