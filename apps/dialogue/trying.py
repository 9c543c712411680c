"""What would a bot answer? Asks without a conversation, so that trying leaves no turn behind."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event

from apps.dialogue.models import Bot, new_id
from apps.dialogue.policy import choose_skill
from apps.dialogue.turns import fallback_text, with_report
from apps.dialogue.understanding import check_question, understand
from core.events import AnswerReport, SourcesFound, TextDelta
from core.types import JSONDict, Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What the bot would have said, and why."""

    question: str
    answer: str
    answered: bool
    skill: str
    confidence: float
    degraded: bool
    sources: tuple[Source, ...]
    suggestions: tuple[str, ...]
    trace: JSONDict


def try_question(bot: Bot, text: object) -> Trial:
    """The bot's answer to a question, with its trace. Raises InvalidRequest for what cannot be asked."""
    question = check_question(text)
    query = understand(question, bot=bot, turn=new_id())
    choice = choose_skill(query, threshold=bot.threshold)
    said: list[str] = []
    sources: tuple[Source, ...] = ()
    report = AnswerReport()
    if choice.skill is not None and choice.match is not None:
        for event in choice.skill.answer(query, choice.match, Event()):
            if isinstance(event, TextDelta):
                said.append(event.text)
            elif isinstance(event, SourcesFound):
                sources = event.sources
            elif isinstance(event, AnswerReport):
                report = event
    skill = choice.skill.name if choice.skill and report.answered else ""
    return Trial(
        question=question,
        answer="".join(said) or fallback_text(bot, query.locale),
        answered=bool(skill),
        skill=skill,
        confidence=choice.confidence,
        degraded=choice.degraded or report.degraded,
        sources=sources,
        suggestions=choice.suggestions,
        trace=with_report(choice, report),
    )
