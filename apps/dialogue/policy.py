"""Who answers a question: skills make their claims in order until one is sure, which speaks; else the surest that is accepted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from core.backends import get_backend
from core.config import get_settings
from core.errors import SearchUnavailable
from core.protocols import Skill
from core.types import JSONDict, Match, Query

log = logging.getLogger(__name__)

MAX_SUGGESTIONS = 4
SURE = 0.8  # who claims this much speaks before the skills listed after it: what a curator wrote goes before what a document says


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The skill that answers with its match, or neither where nobody is sure enough; the trace says why."""

    skill: Skill | None
    match: Match | None
    confidence: float
    suggestions: tuple[str, ...]
    degraded: bool
    trace: JSONDict


@cache
def skills() -> tuple[Skill, ...]:
    """The skills in force, in order of preference."""
    return tuple(get_backend(path, Skill) for path in get_settings().skill_paths)  # type: ignore[type-abstract]


def choose_skill(query: Query, *, threshold: float | None, among: Sequence[Skill] | None = None) -> Choice:
    """Asks each skill for its claim; the first that is `SURE` answers, else the surest. `threshold` replaces the fitted ones where the bot sets it.

    Those after a sure one are not asked, and the trace has nothing of them: what they said would change nothing. A skill that fails is left out, said so in the trace and marked as degraded: the others still answer.
    """
    claims: list[tuple[Skill, Match]] = []
    trace: JSONDict = {}
    failed = False
    for skill in skills() if among is None else among:
        try:
            match = skill.match(query)
        except SearchUnavailable as error:
            log.warning("skill could not search turn=%s skill=%s reason=%s", query.turn, skill.name, error.message)
            failed, trace[skill.name] = True, {"failed": True}
            continue
        except Exception:  # one broken skill must not silence the others
            log.exception("skill failed to match turn=%s skill=%s", query.turn, skill.name)
            failed, trace[skill.name] = True, {"failed": True}
            continue
        if match is not None:
            claims.append((skill, match))
            trace[skill.name] = {"confidence": round(match.confidence, 4), "accepted": _accepts(match, threshold), **match.why}
            if match.confidence >= SURE and _accepts(match, threshold):
                break
    accepted = [claim for claim in claims if _accepts(claim[1], threshold)]
    best = max(accepted or claims, key=lambda claim: claim[1].confidence, default=None)
    return Choice(
        skill=best[0] if best and accepted else None,
        match=best[1] if best and accepted else None,
        confidence=best[1].confidence if best else 0.0,
        suggestions=_suggestions(claims, answered=best[1] if best and accepted else None),
        degraded=failed or query.encoded is None or any(match.degraded for _, match in claims),
        trace=trace,
    )


def _accepts(match: Match, threshold: float | None) -> bool:
    return match.accepted if threshold is None else match.confidence >= threshold


def _suggestions(claims: Sequence[tuple[Skill, Match]], *, answered: Match | None) -> tuple[str, ...]:
    """The nearest questions of all skills, without the one that is being answered."""
    ordered = sorted((match for _, match in claims), key=lambda match: match.confidence, reverse=True)
    texts = [text for match in ordered for text in match.suggestions[1 if match is answered else 0 :]]
    return tuple(dict.fromkeys(texts))[:MAX_SUGGESTIONS]
