"""The `faq` skill: answers with what curators wrote, word for word."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

from apps.faq.matching import Ranking, RankedFAQ, rank_faqs
from core.events import AnswerEvent, SourcesFound, split_into_deltas
from core.types import JSONDict, Match, Query, SkillName, Source

EXPLAINED = 5
SUGGESTED = 4


class FAQSkill:
    """Claims a question when a stored phrasing means the same, as far as the fitted features can tell."""

    name = SkillName.FAQ.value

    def match(self, query: Query) -> Match | None:
        """The best FAQ with its calibrated confidence; None where nothing comes near at all."""
        ranking = rank_faqs(query)
        if not ranking.faqs:
            return None
        others = ranking.faqs[1:] if ranking.accepted else ranking.faqs
        return Match(
            skill=self.name,
            confidence=ranking.confidence,
            accepted=ranking.accepted,
            payload=ranking.faqs[0],
            suggestions=tuple(dict.fromkeys(one.phrasing for one in others[:SUGGESTED])),
            degraded=ranking.degraded,
            why=_why(ranking),
        )

    def answer(self, query: Query, match: Match, cancel: Event) -> Iterator[AnswerEvent]:
        """The FAQ as the source, then its answer."""
        best = match.payload
        assert isinstance(best, RankedFAQ)
        yield SourcesFound(sources=(_source(best, match.confidence),))
        yield from split_into_deltas(best.faq.answer)


def _source(ranked: RankedFAQ, confidence: float) -> Source:
    return Source(kind="faq", id=ranked.faq.external_id, title=ranked.phrasing, text=ranked.faq.answer[:400], score=confidence)


def _why(ranking: Ranking) -> JSONDict:
    return {
        "exact": ranking.exact,
        "candidates": [
            {
                "id": one.faq.external_id,
                "phrasing": one.phrasing,
                "score": round(one.score, 4),
                "cosine": None if one.cosine is None else round(one.cosine, 4),
                "bm25": round(one.bm25, 4),
            }
            for one in ranking.faqs[:EXPLAINED]
        ],
    }
