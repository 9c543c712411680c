"""How a question becomes an answer: `answer_turn` is the one path that WebSocket, server-sent events, JSON and commands share."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from threading import Event

from django.db import transaction

from apps.accounts.limits import Account, charge_use
from apps.accounts.permissions import Caller
from apps.dialogue.gate import gate
from apps.dialogue.inserting import insert_row
from apps.dialogue.models import Bot, Conversation, Turn, new_id
from apps.dialogue.policy import Choice, choose_skill
from apps.dialogue.selectors import conversation_for
from apps.dialogue.understanding import understand
from core.config import get_settings
from core.errors import DeadlineExceeded, NotFound, QAError
from core.events import (
    AnswerEvent,
    AnswerReport,
    SkillChosen,
    SourcesFound,
    TextDelta,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnStarted,
    split_into_deltas,
)
from core.metrics import LIVE_TURNS, TURN_SECONDS, TURNS
from core.protocols import Usage
from core.text import clean_answer
from core.tokens import estimate_all
from core.types import JSONDict, Locale, Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnRequest:
    """A checked question to a bot that the caller may ask. `turn` is the id that the turn will have.

    `streamed` says that somebody sees the turn before it ends: it is then stored at once, else with its answer.
    `history` is what was said before, oldest first, where the caller keeps the conversation itself.
    """

    bot: Bot
    caller: Caller
    text: str
    conversation: str | None = None
    turn: str = field(default_factory=new_id)
    streamed: bool = True
    history: tuple[str, ...] = ()


@dataclass(slots=True)
class _Outcome:
    """What a turn has come to so far. `skill` is who answers, once that was said."""

    began: float = field(default_factory=time.perf_counter)
    text: list[str] = field(default_factory=list)
    failed: bool = False
    sources: tuple[Source, ...] = ()
    choice: Choice | None = None
    skill: str = ""
    report: AnswerReport = AnswerReport()
    stopped: bool = False
    timings_ms: dict[str, float] = field(default_factory=dict)

    def lap(self, name: str, since: float) -> float:
        """Notes the time since `since` under `name`; returns now."""
        now = time.perf_counter()
        self.timings_ms[name] = (now - since) * 1000
        return now

    @property
    def confidence(self) -> float:
        """How sure the best claim was."""
        return self.choice.confidence if self.choice else 0.0

    @property
    def trace(self) -> JSONDict:
        """Why it was answered so."""
        return with_report(self.choice, self.report) if self.choice else {}


def answer_turn(request: TurnRequest, cancel: Event) -> Iterator[TurnEvent]:
    """The events of one turn. Setting `cancel` ends it early with what was said so far.

    Raises NotFound before the first event where the conversation is unknown; whatever fails later is a TurnFailed.
    """
    outcome = _Outcome()
    turn = begin_turn(request)
    yield TurnStarted(conversation=turn.conversation_id)
    with LIVE_TURNS.track_inprogress():
        try:
            yield from _answer(request, outcome, cancel)
            ended: TurnEvent = finish_turn(turn, outcome)
        except QAError as error:
            ended = fail_turn(turn, outcome, error)
        except Exception:  # whatever broke, the stored turn must end too
            log.exception("turn broke turn=%s", turn.pk)
            ended = fail_turn(turn, outcome, QAError("Something went wrong on our side; it has been logged."))
        _charge(request, outcome)
    yield ended


def begin_turn(request: TurnRequest) -> Turn:
    """The turn in its conversation or a new one; stored at once where somebody may stop or resume it."""
    conversation = require_conversation(request) or Conversation(bot=request.bot, owner=request.caller.name)
    turn = Turn(pk=request.turn, conversation=conversation, question=clean_answer(request.text))
    if request.streamed:
        _store(turn)
    return turn


def require_conversation(request: TurnRequest) -> Conversation | None:
    """The conversation that the question continues; None for a new one. Raises NotFound for one that is not the caller's."""
    if request.conversation is None:
        return None
    conversation = conversation_for(request.conversation, request.caller)
    if conversation.bot_id != request.bot.pk:
        raise NotFound("No such conversation with this bot.", conversation=conversation.pk)
    return conversation


def _answer(request: TurnRequest, outcome: _Outcome, cancel: Event) -> Iterator[TurnEvent]:
    query = understand(request.text, bot=request.bot, turn=request.turn, groups=request.caller.groups, history=request.history)
    outcome.timings_ms["encode"] = query.encoded.encode_ms if query.encoded else 0.0
    matching = time.perf_counter()
    with gate().held():
        choice = outcome.choice = choose_skill(query, threshold=request.bot.threshold)
    answering = outcome.lap("match", matching)
    if choice.skill is not None and choice.match is not None:
        chosen = SkillChosen(skill=choice.skill.name, confidence=choice.confidence)
        with gate().outside() if query.writing else nullcontext():
            yield from _announced(chosen, _say(choice.skill.answer(query, choice.match, cancel), outcome, cancel), outcome)
    if not outcome.skill:
        yield from _say(split_into_deltas(fallback_text(request.bot, query.locale)), outcome, cancel)
    outcome.lap("answer", answering)


def _announced(chosen: SkillChosen, said: Iterator[TurnEvent], outcome: _Outcome) -> Iterator[TurnEvent]:
    """The answer after who gives it; nothing where the skill reports that it has no answer after all."""
    first = next(said, None)
    if first is None and not outcome.report.answered:
        return
    outcome.skill = chosen.skill
    yield chosen
    if first is not None:
        yield first
        yield from said


def _say(events: Iterator[AnswerEvent], outcome: _Outcome, cancel: Event) -> Iterator[TurnEvent]:
    """Passes the answer's events on while remembering what they said, until it ends, is stopped or is late.

    Of an answer that is stopped only the report is still of interest: what it cost.
    """
    deadline = outcome.began + get_settings().turn_deadline_s
    for event in events:
        if isinstance(event, AnswerReport):
            outcome.report = event
            continue
        if cancel.is_set():
            continue
        if time.perf_counter() > deadline:
            raise DeadlineExceeded("The answer took too long.")
        match event:
            case TextDelta(text=text):
                outcome.text.append(text)
            case SourcesFound(sources=sources):
                outcome.sources = sources
        yield event
    outcome.stopped = outcome.stopped or cancel.is_set()


def with_report(choice: Choice, report: AnswerReport) -> JSONDict:
    """What each skill claimed, and what the one that answered says of its answer."""
    name = choice.skill.name if choice.skill else ""
    claimed = choice.trace.get(name)
    if not report.trace or not isinstance(claimed, dict):
        return choice.trace
    return {**choice.trace, name: {**claimed, "answer": report.trace}}


def fallback_text(bot: Bot, locale: Locale) -> str:
    """What the bot says when nothing fits, in the reader's language."""
    return bot.fallback_zh if locale is Locale.ZH else bot.fallback_en


def finish_turn(turn: Turn, outcome: _Outcome) -> TurnFinished:
    """Stores the answer with its sources, trace and timings, and returns the event that ends the turn."""
    choice = outcome.choice
    _time(outcome)
    finished = TurnFinished(
        conversation=turn.conversation_id,
        answer="".join(outcome.text),
        answered=bool(outcome.skill),
        skill=outcome.skill or None,
        confidence=outcome.confidence,
        sources=outcome.sources,
        suggestions=choice.suggestions if choice else (),
        degraded=outcome.report.degraded or (choice is not None and choice.degraded),
        stopped=outcome.stopped,
        timings_ms=outcome.timings_ms,
    )
    _store(
        turn,
        state=str(Turn.State.STOPPED if outcome.stopped else Turn.State.FINISHED),
        answer=finished.answer,
        answered=finished.answered,
        skill=outcome.skill,
        confidence=finished.confidence,
        degraded=finished.degraded,
        sources=[source.as_dict() for source in finished.sources],
        suggestions=list(finished.suggestions),
        trace=outcome.trace,
        error=None,
        timings_ms=finished.timings_ms,
    )
    TURNS.labels(skill=finished.skill or "none", end="stopped" if outcome.stopped else "finished").inc()
    log.info(
        "turn finished turn=%s skill=%s confidence=%.2f total_ms=%.0f",
        turn.pk,
        finished.skill,
        finished.confidence,
        outcome.timings_ms["total"],
    )
    return finished


def fail_turn(turn: Turn, outcome: _Outcome, error: QAError) -> TurnFailed:
    """Stores why the turn failed and what was said until then, and returns the event that ends it."""
    _time(outcome)
    outcome.failed = True
    shown: JSONDict = error.as_dict()  # type: ignore[assignment]
    _store(
        turn,
        state=str(Turn.State.FAILED),
        answer="".join(outcome.text),
        skill=outcome.skill,
        confidence=outcome.confidence,
        sources=[source.as_dict() for source in outcome.sources],
        trace=outcome.trace,
        error=shown,
        timings_ms=outcome.timings_ms,
    )
    TURNS.labels(skill="none", end="failed").inc()
    log.warning("turn failed turn=%s error=%s total_ms=%.0f", turn.pk, error.code, outcome.timings_ms["total"])
    return TurnFailed(error=shown)


def _charge(request: TurnRequest, outcome: _Outcome) -> None:
    """Counts what the turn cost its caller and its bot: what a generator read and wrote, else an estimate from what was asked and said."""
    report = outcome.report
    usage = Usage(
        prompt_tokens=report.prompt_tokens or estimate_all((request.text, *request.history)),
        completion_tokens=report.completion_tokens or estimate_all(outcome.text),
    )
    account = Account(caller=request.caller, model=request.bot.slug, bot_id=request.bot.pk)
    charge_use(account, usage, seconds=time.perf_counter() - outcome.began, failed=outcome.failed)


def _store(turn: Turn, **values: object) -> None:
    """Writes the turn, and its conversation where that is new. A turn that is stored already gets the values alone."""
    with transaction.atomic():
        if not turn._state.adding:
            Turn.objects.filter(pk=turn.pk).update(**values)
            return
        for name, value in values.items():
            setattr(turn, name, value)
        if turn.conversation._state.adding:
            insert_row(turn.conversation)
        insert_row(turn)


def _time(outcome: _Outcome) -> None:
    outcome.lap("total", outcome.began)
    TURN_SECONDS.observe(outcome.timings_ms["total"] / 1000)
