"""What does a web process keep of the calls that were answered?"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import closing

import orjson
import pytest

from core.config import get_settings
from core.errors import ModelUnavailable, Overloaded, QAError
from core.types import Priority
from workers.dispatch import Dispatcher
from workers.outbox import Waiting
from workers.wire_errors import error_as_dict


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    with closing(Dispatcher(get_settings().model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))) as dispatcher:
        yield dispatcher


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_an_answer_is_freed_without_waiting_for_the_collector_of_cycles(dispatcher: Dispatcher, uncollected: None) -> None:
    future = dispatcher.submit("encoder", {}, priority=Priority.LIVE, timeout_s=30)
    answer = weakref.ref(future)
    dispatcher._receive(orjson.dumps([{"id": sent.call.id, "vectors": ""} for sent in dispatcher._outbox.take()]))
    assert future.result(0)["vectors"] == ""
    del future
    ends = time.monotonic() + 5
    while answer() is not None and time.monotonic() < ends:  # the sender may be looking at it
        time.sleep(0.01)
    assert answer() is None


def test_nobody_waits_for_a_cancelled_call(dispatcher: Dispatcher) -> None:
    future = dispatcher.submit("encoder", {}, priority=Priority.LIVE, timeout_s=30)
    assert future.cancel()
    assert dispatcher._outbox.everyone() == []


def under_way_twice(dispatcher: Dispatcher, priority: Priority = Priority.LIVE) -> Waiting:
    """A call of which two copies are on their way."""
    dispatcher.submit("encoder", {}, priority=priority, timeout_s=30)
    (sent,) = dispatcher._outbox.take()
    dispatcher._outbox.send_again(sent)
    assert dispatcher._outbox.take() == [sent] and sent.attempts == 2
    return sent


def reply(dispatcher: Dispatcher, sent: Waiting, answer: QAError | dict[str, str]) -> None:
    row = error_as_dict(answer) if isinstance(answer, QAError) else answer
    dispatcher._receive(orjson.dumps([{"id": sent.call.id, **row}]))


@pytest.mark.parametrize("refusal", [ModelUnavailable("lost"), Overloaded("busy", retry_after_s=1)])
def test_a_worker_that_gives_a_call_back_does_not_fail_the_copy_that_another_has(dispatcher: Dispatcher, refusal: QAError) -> None:
    sent = under_way_twice(dispatcher)
    reply(dispatcher, sent, refusal)
    reply(dispatcher, sent, {"vectors": "here"})
    assert sent.future.result(0)["vectors"] == "here"


def test_a_call_that_every_worker_gave_back_fails(dispatcher: Dispatcher) -> None:
    sent = under_way_twice(dispatcher)
    for _ in range(2):
        assert not sent.future.done()
        reply(dispatcher, sent, ModelUnavailable("lost"))
    with pytest.raises(ModelUnavailable, match="lost"):
        sent.future.result(0)


def test_an_import_that_every_worker_gave_back_goes_again_later(dispatcher: Dispatcher) -> None:
    sent = under_way_twice(dispatcher, Priority.BULK)
    for _ in range(2):
        reply(dispatcher, sent, Overloaded("busy", retry_after_s=0.01))
    assert (sent.attempts, sent.future.done()) == (0, False)
    ends = time.monotonic() + 5
    while not (again := dispatcher._outbox.take()) and time.monotonic() < ends:
        dispatcher._outbox.wait_for_work()
    reply(dispatcher, again[0], ModelUnavailable("lost"))
    assert not sent.future.done()


def test_an_import_that_was_refused_to_the_end_ends_with_the_refusal(dispatcher: Dispatcher) -> None:
    future = dispatcher.submit("encoder", {}, priority=Priority.BULK, timeout_s=30)
    (sent,) = dispatcher._outbox.take()
    dispatcher._receive(orjson.dumps([{"id": sent.call.id, **error_as_dict(Overloaded("busy", retry_after_s=60))}]))
    sent.deadline = time.monotonic()
    dispatcher._expire()
    with pytest.raises(Overloaded, match="busy"):
        future.result(0)
