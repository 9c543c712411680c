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
from core.errors import Overloaded
from core.types import Priority
from workers.dispatch import Dispatcher
from workers.wire import error_as_dict


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


def test_an_import_that_was_refused_to_the_end_ends_with_the_refusal(dispatcher: Dispatcher) -> None:
    future = dispatcher.submit("encoder", {}, priority=Priority.BULK, timeout_s=30)
    (sent,) = dispatcher._outbox.take()
    dispatcher._receive(orjson.dumps([{"id": sent.call.id, **error_as_dict(Overloaded("busy", retry_after_s=60))}]))
    sent.deadline = time.monotonic()
    dispatcher._expire()
    with pytest.raises(Overloaded, match="busy"):
        future.result(0)
