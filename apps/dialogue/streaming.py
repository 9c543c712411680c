"""How the events of a turn, made in a thread, reach whoever listens: the pump between synchronous turns and sockets."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import BoundedSemaphore, Event
from typing import TypeVar

from django.db import close_old_connections

from apps.dialogue.gate import gate
from apps.dialogue.interrupted import interrupt_turn
from apps.dialogue.models import Turn
from apps.dialogue.turns import TurnRequest, answer_turn
from core.backends import get_backend
from core.config import get_settings
from core.errors import DeadlineExceeded, Interrupted, NotFound, Overloaded, QAError
from core.events import SkillChosen, SourcesFound, TurnFailed, TurnFinished, TurnStarted, as_answer, as_wire, split_into_deltas
from core.protocols import TurnLog
from core.types import JSONDict, Source

log = logging.getLogger(__name__)

LOST_S = 3.0
LOST_POLL_S = 0.2

T = TypeVar("T")
_END = object()


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


@cache
def _threads() -> tuple[ThreadPoolExecutor, BoundedSemaphore]:
    count = get_settings().http_threads
    return ThreadPoolExecutor(count, thread_name_prefix="turn"), BoundedSemaphore(4 * count)


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Runs a function that may query the database in one of the turn threads."""
    context = contextvars.copy_context()

    def run() -> T:
        try:
            return context.run(function, *args)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads()[0], run)


def finish_in_thread(events: Iterator[object]) -> None:
    """Lets what was begun, and has no listener any more, come to its own end in one of the turn threads."""

    def run() -> None:
        try:
            deque(events, maxlen=0)
        except QAError as error:
            log.info("unheard error=%s", error.code)
        finally:
            close_old_connections()

    _threads()[0].submit(contextvars.copy_context().run, run)


async def iterate_in_thread(make: Callable[[], Iterator[JSONDict]], *, to_the_end: bool) -> AsyncIterator[JSONDict]:
    """Iterates `make()` in a thread. When the listener leaves, the iteration stops, or goes on unheard `to_the_end`.

    Raises Overloaded at once where too many iterations wait already.
    """
    threads, permits = _threads()
    if not permits.acquire(blocking=False):
        raise Overloaded("Too many answers are under way; try again in a moment.", retry_after_s=1)
    loop, frames, left = asyncio.get_running_loop(), asyncio.Queue(), Event()  # type: ignore[var-annotated]
    context = contextvars.copy_context()

    def pump() -> None:
        try:
            for frame in make():
                if not left.is_set():
                    loop.call_soon_threadsafe(frames.put_nowait, frame)
                elif not to_the_end:
                    break
            end: object = _END
        except QAError as error:
            end = error
        except Exception:  # the listener must hear of it, whatever it is
            log.exception("pump broke")
            end = QAError("Something went wrong on our side; it has been logged.")
        finally:
            permits.release()
            close_old_connections()
        if not left.is_set() and not loop.is_closed():
            loop.call_soon_threadsafe(frames.put_nowait, end)

    threads.submit(context.run, pump)
    try:
        while True:
            frame = await frames.get()
            if frame is _END:
                return
            if isinstance(frame, QAError):
                raise frame
            yield frame
    finally:
        left.set()
