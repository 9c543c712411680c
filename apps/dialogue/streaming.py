"""What is told of a turn? Its events as frames: while it runs, in one piece, and again from the log or from what was stored."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from threading import Event

from apps.dialogue.gate import gate
from apps.dialogue.interrupted import interrupt_turn
from apps.dialogue.models import Turn
from apps.dialogue.turns import TurnRequest, answer_turn
from core.backends import get_backend
from core.config import get_settings
from core.errors import DeadlineExceeded, Interrupted, NotFound, QAError
from core.events import SkillChosen, SourcesFound, TurnFailed, TurnFinished, TurnStarted, as_answer, as_wire, split_into_deltas
from core.protocols import TurnLog
from core.types import JSONDict, Source

log = logging.getLogger(__name__)

LOST_S = 3.0
LOST_POLL_S = 0.2


def turn_log() -> TurnLog:
    """The turn log in force."""
    return get_backend(get_settings().turn_log_path, TurnLog)  # type: ignore[type-abstract]


def ask(request: TurnRequest) -> JSONDict:
    """Answers in one piece. Raises the error that a failed turn carries."""
    with gate().held():
        for event in answer_turn(request, Event()):
            if isinstance(event, TurnFinished):
                return as_answer(event, turn=request.turn)
            if isinstance(event, TurnFailed):
                raise TurnError(event.error)
    raise AssertionError("a turn ended without an end")


class TurnError(QAError):
    """The error of a turn that failed, to be shown as it is."""

    def __init__(self, error: JSONDict) -> None:
        super().__init__(str(error["message"]))
        self._error = error
        self.details = dict(error.get("details") or {})  # type: ignore[arg-type]
        found = next((kind for kind in _kinds(QAError) if kind.code == error["code"]), QAError)
        self.status = found.status  # type: ignore[misc]

    def as_dict(self) -> dict[str, object]:
        """The error object of the turn."""
        return dict(self._error)


def _kinds(of: type[QAError]) -> Iterator[type[QAError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)


def run_turn(request: TurnRequest) -> Iterator[JSONDict]:
    """The frames of a turn, each logged before it is yielded, so that any process can replay it.

    What nobody expected ends the turn as `turn_failed`; it is logged here with its trace.
    """
    turns, turn = turn_log(), request.turn
    cancel = turns.watch_cancel(turn)
    try:
        for event in answer_turn(request, cancel):
            frame = as_wire(event, turn=turn, seq=0)
            turns.append(turn, frame)
            yield frame
    except QAError:
        raise
    except Exception:  # the last place where a turn can still be ended properly
        log.exception("turn broke turn=%s", turn)
        frame = as_wire(TurnFailed(error=_internal()), turn=turn, seq=0)
        turns.append(turn, frame)
        yield frame


def _internal() -> JSONDict:
    return QAError("Something went wrong on our side; it has been logged.").as_dict()  # type: ignore[return-value]


def replay_turn(turn: Turn, after: int) -> Iterator[JSONDict]:
    """The turn's frames beyond `after`: from the log while it keeps them, later rebuilt from the stored turn.

    A turn whose process is gone ends here, as `turn_failed`.
    """
    try:
        for frame in _logged(turn, after):
            after = int(str(frame["seq"]))
            yield frame
        return
    except (NotFound, Interrupted, DeadlineExceeded):
        stored = interrupt_turn(turn)
    *told, end = rebuild_frames(stored)
    yield from (frame for frame in told if int(str(frame["seq"])) > after)
    yield {**end, "seq": max(int(str(end["seq"])), after + 1)}  # it must end, even where fewer frames are stored than were told


def _logged(turn: Turn, after: int) -> Iterator[JSONDict]:
    """The log's frames. One that lost a running turn is asked again for a moment: whoever runs it may be writing it anew."""
    patient_until = time.monotonic() + LOST_S
    while True:
        try:
            return turn_log().read(turn.pk, after, timeout_s=get_settings().turn_deadline_s)
        except NotFound:
            turn.refresh_from_db()
            if turn.state != Turn.State.RUNNING or time.monotonic() > patient_until:
                raise
        time.sleep(LOST_POLL_S)


def rebuild_frames(turn: Turn) -> Iterator[JSONDict]:
    """The frames of a stored turn, numbered as when it ran: stored answers are always cut in the same places."""
    sources = tuple(map(Source.from_dict, turn.sources))
    events: list[object] = [TurnStarted(conversation=turn.conversation_id)]
    if turn.skill:
        events.append(SkillChosen(skill=turn.skill, confidence=turn.confidence))
    if sources:
        events.append(SourcesFound(sources=sources))
    events += split_into_deltas(turn.answer)
    events.append(TurnFailed(error=turn.error) if turn.error else _finished(turn, sources))
    return (as_wire(event, turn=turn.pk, seq=seq) for seq, event in enumerate(events, 1))  # type: ignore[arg-type]


def _finished(turn: Turn, sources: tuple[Source, ...]) -> TurnFinished:
    return TurnFinished(
        conversation=turn.conversation_id,
        answer=turn.answer,
        answered=turn.answered,
        skill=turn.skill or None,
        confidence=turn.confidence,
        sources=sources,
        suggestions=tuple(turn.suggestions),
        degraded=turn.degraded,
        stopped=turn.state == Turn.State.STOPPED,
        timings_ms=turn.timings_ms,
    )
