"""Which of the waiting calls go next."""

from __future__ import annotations

import threading

import pytest

from core.errors import Cancelled, DeadlineExceeded
from core.types import Priority
from workers.batch_limits import Limits
from workers.batch_queue import LIVE_BATCHES_PER_BULK, BatchQueue, Call

BULK = Priority.BULK


def queue(*calls: Call[str, str], **limits: int) -> BatchQueue[str, str]:
    waiting = BatchQueue[str, str]("test", Limits(**limits))  # type: ignore[arg-type]
    for call in calls:
        waiting.add(call)
    return waiting


def items(batch: list[Call[str, str]]) -> list[str]:
    return [call.item for call in batch]


def test_people_go_before_imports_and_now_and_then_an_import_goes_all_the_same() -> None:
    waiting = queue(Call("import", 1, BULK), *(Call(f"person {n}", 1) for n in range(20)), max_tokens=1)
    taken = [items(waiting.take_batch()) for _ in range(LIVE_BATCHES_PER_BULK + 2)]
    assert taken.index(["import"]) == LIVE_BATCHES_PER_BULK
    assert taken[-1] == [f"person {LIVE_BATCHES_PER_BULK}"]


def test_what_is_cancelled_or_too_late_is_answered_and_not_taken() -> None:
    cancelled = threading.Event()
    cancelled.set()
    calls = [Call[str, str]("cancelled", 1, cancel=cancelled), Call[str, str]("late", 1, deadline=0.0), Call[str, str]("given up", 1)]
    calls[2].future.cancel()
    assert items(queue(*calls, Call("waits", 1)).take_batch()) == ["waits"]
    for call, error in zip(calls, (Cancelled, DeadlineExceeded), strict=False):
        with pytest.raises(error):
            call.future.result(timeout=0)


def test_each_priority_is_full_by_itself_and_all_are_taken_at_the_end() -> None:
    waiting = queue(Call("a", 1), Call("b", 1), Call("c", 1, BULK), max_waiting=2)
    assert (waiting.is_full(Priority.LIVE), waiting.is_full(BULK), len(waiting)) == (True, False, 3)
    assert (sorted(items(waiting.take_all())), len(waiting)) == (["a", "b", "c"], 0)


def test_an_answer_that_comes_after_the_caller_gave_up_is_dropped() -> None:
    call = Call[str, str]("a", 1)
    call.future.cancel()
    call.succeed("answer")
    call.fail(Cancelled("too late"))
    assert call.future.cancelled()
