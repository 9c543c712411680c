"""The `faq` skill: answers with what curators wrote, word for word."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

from apps.faq.matching import FAQMatches, MatchedFAQ, match_faqs
from core.events import AnswerEvent, SourcesFound, split_into_deltas
from core.types import JSONDict, Match, Query, SkillName, Source

EXPLAINED = 5
SUGGESTED = 4


class FAQSkill:
    """Claims a question when a stored phrasing means the same, as far as the fitted features can tell."""

    name = SkillName.FAQ.value

    def match(self, query: Query) -> Match | None:
        """The best FAQ with its calibrated confidence; None where nothing comes near at all."""
        matches = match_faqs(query)
        if not matches.faqs:
            return None
        others = matches.faqs[1:] if matches.accepted else matches.faqs
        return Match(
            skill=self.name,
            confidence=matches.confidence,
            accepted=matches.accepted,
            payload=matches.faqs[0],
            suggestions=tuple(dict.fromkeys(one.phrasing for one in others[:SUGGESTED])),
            degraded=matches.degraded,
            why=_why(matches),
        )

    def answer(self, query: Query, match: Match, cancel: Event) -> Iterator[AnswerEvent]:
        """The FAQ as the source, then its answer."""
        best = match.payload
        assert isinstance(best, MatchedFAQ)
        yield SourcesFound(sources=(_source(best, match.confidence),))
        yield from split_into_deltas(best.faq.answer)


def _source(best: MatchedFAQ, confidence: float) -> Source:
    return Source(kind="faq", id=best.faq.external_id, title=best.phrasing, text=best.faq.answer[:400], score=confidence)


def _why(matches: FAQMatches) -> JSONDict:
    return {
        "exact": matches.exact,
        "reasons": {name: round(value, 3) if isinstance(value, float) else value for name, value in matches.reasons.items()},
        "candidates": [
            {
                "id": one.faq.external_id,
                "phrasing": one.phrasing,
                "score": round(one.score, 4),
                "contributions": {name: round(value, 4) for name, value in one.contributions.items()},
            }
            for one in matches.faqs[:EXPLAINED]
        ],
    }
