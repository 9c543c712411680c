"""The `faq` skill: answers with what curators wrote, word for word."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

from apps.faq.matching import FAQMatches, MatchedFAQ, match_faqs
from apps.faq.selectors import answer_text
from core.errors import SearchUnavailable
from core.events import AnswerEvent, SourcesFound, split_into_deltas
from core.types import JSONDict, Match, Query, SkillName, Source

EXPLAINED = 5
SNIPPET_CHARS = 400
SUGGESTED = 4


class FAQSkill:
    """Claims a question when a stored phrasing means the same, as far as the fitted features can tell."""

    name = SkillName.FAQ.value

    def match(self, query: Query) -> Match | None:
        """The best FAQ with its calibrated confidence; None where nothing comes near at all.

        Raises SearchUnavailable where nothing was found by what is left of words and vectors: that says little.
        """
        matches = match_faqs(query)
        if not matches.faqs and matches.degraded and query.encoded is not None:
            raise SearchUnavailable("Words or vectors cannot be searched at the moment, and the rest found nothing.")
        if not matches.faqs:
            return None
        return Match(
            skill=self.name,
            confidence=matches.confidence,
            accepted=matches.accepted,
            payload=matches.faqs[0],
            suggestions=tuple(dict.fromkeys(one.phrasing for one in matches.faqs[: 1 + SUGGESTED])),
            degraded=matches.degraded,
            why=_why(matches),
        )

    def answer(self, query: Query, match: Match, cancel: Event) -> Iterator[AnswerEvent]:
        """The FAQ as the source, then its answer."""
        best = match.payload
        assert isinstance(best, MatchedFAQ)
        answer = answer_text(best.faq_id)
        yield SourcesFound(sources=(_source(best, answer, match.confidence),))
        yield from split_into_deltas(answer)


def _source(best: MatchedFAQ, answer: str, confidence: float) -> Source:
    return Source(kind="faq", id=best.external_id, title=best.phrasing, text=answer[:SNIPPET_CHARS], score=confidence)


def _why(matches: FAQMatches) -> JSONDict:
    return {
        "exact": matches.exact,
        "reasons": {name: round(value, 3) if isinstance(value, float) else value for name, value in matches.reasons.items()},
        "candidates": [
            {
                "id": one.external_id,
                "phrasing": one.phrasing,
                "score": round(one.score, 4),
                "contributions": {name: round(value, 4) for name, value in one.contributions.items()},
            }
            for one in matches.faqs[:EXPLAINED]
        ],
    }
