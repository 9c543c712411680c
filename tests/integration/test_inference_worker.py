"""What does a worker answer to requests that are late, cancelled, too many or not readable? In this process, on a real Redis."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from prometheus_client import REGISTRY

from core.config import get_settings
from core.errors import InvalidRequest, ModelUnavailable
from core.types import Priority, Role
from core.worker_registry import queue_name, read_workers
from tests.inference_workers import redis_url, wait_for
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures
from workers.dispatch import CANCELS
from workers.pending import Pending
from workers.remote import RemoteReranker
from workers.tasks import InferenceWorker
from workers.wire import (
    Call,
    EncodeBody,
    Request,
    RerankBody,
    encode_as_dict,
    request_as_dict,
    rerank_as_dict,
    scores_from_dict,
    vectors_from_dict,
)


class Conversation:
    """One web process's side of it: sends calls, hears the rows that come back."""

    def __init__(self, url: str) -> None:
        self.worker = InferenceWorker(get_settings())
        self.redis = redis.Redis.from_url(url)
        self._channel = self.redis.pubsub(ignore_subscribe_messages=True)
        self._channel.subscribe("replies")
        self._channel.get_message(timeout=1)

    def ask(self, *calls: Call, role: str = "encoder", priority: Priority = Priority.LIVE) -> list[dict[str, Any]]:
        self.worker.serve(request_as_dict(Request(role=role, priority=priority, reply_to="replies", calls=calls)))
        rows: dict[str, dict[str, Any]] = {}
        while len(rows) < len(calls):
            rows |= {row["id"]: row for row in self.hear()}
        return [rows[call.id] for call in calls]

    def hear(self) -> list[dict[str, Any]]:
        """The rows of the next message."""
        message = self._channel.get_message(timeout=2)
        assert message is not None
        rows: list[dict[str, Any]] = orjson.loads(message["data"])
        return rows

    def close(self) -> None:
        self.worker.close()
        self._channel.close()
        self.redis.close()


@pytest.fixture
def environ(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:  # noqa: F811
    for name, value in {"REDIS_URL": redis_url(11), "ENCODER": str(tiny_folder), "DEVICE": "cpu", "WORKER_CONCURRENCY": "2"}.items():
        monkeypatch.setenv(f"QA_{name}", value)
    get_settings.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def web(environ: pytest.MonkeyPatch) -> Iterator[Conversation]:
    conversation = Conversation(get_settings().redis_url)
    yield conversation
    conversation.close()


def call(name: str, *texts: str, seconds: float = 5.0) -> Call:
    body = encode_as_dict(EncodeBody(texts=texts, text_role=Role.QUERY, wants_tokens=False))
    return Call(id=name, body=body, deadline_at=time.time() + seconds)


def rerank_call(name: str, *passages: str, seconds: float = 5.0) -> Call:
    return Call(id=name, body=rerank_as_dict(RerankBody(query="reset", passages=passages)), deadline_at=time.time() + seconds)


def encoded_texts() -> float:
    return REGISTRY.get_sample_value("wenlu_batched_texts_total", {"model": "encoder"}) or 0.0


def code(row: dict[str, Any]) -> str:
    return str(row["error"]["code"])


def test_each_call_of_a_message_gets_its_own_answer(web: Conversation) -> None:
    one, none, two = web.ask(call("a", "reset"), call("b"), call("c", "how", "the"))
    assert [row["id"] for row in (one, none, two)] == ["a", "b", "c"]
    assert [len(vectors_from_dict(row).vectors) for row in (one, none, two)] == [1, 0, 2]


class ScriptedService:
    """An encoder whose calls end when the test says so."""

    role = "encoder"

    def __init__(self) -> None:
        self.futures: dict[str, Future[None]] = {"a": Future(), "b": Future(), "c": Future()}
        self.load = self.close = lambda: None

    def begin(self, body: Mapping[str, Any], **_: object) -> Pending[dict[str, str]]:
        (name,) = body["texts"]
        return Pending(lambda: {"said": name}, [self.futures[name]])


def test_a_call_does_not_wait_for_the_others_of_its_message(web: Conversation) -> None:
    scripted = web.worker._services["encoder"] = ScriptedService()
    message = request_as_dict(
        Request(role="encoder", priority=Priority.LIVE, reply_to="replies", calls=tuple(call(name, name) for name in "abc"))
    )
    serving = threading.Thread(target=web.worker.serve, args=(message,))
    serving.start()
    for name in "bca":
        scripted.futures[name].set_result(None)
        assert web.hear() == [{"id": name, "said": name}]
    serving.join(5)


def test_what_comes_too_late_is_dropped_before_the_model(web: Conversation) -> None:
    before = encoded_texts()
    late, fine = web.ask(call("late", "reset", seconds=-0.1), call("fine", "reset"))
    assert code(late) == "deadline_exceeded" and "vectors" in fine
    assert encoded_texts() == before + 1


def cancel(web: Conversation, name: str) -> None:
    """Says that nobody waits for this call any more, until the worker has heard it."""
    flag = web.worker._cancels.watch(name)
    while not flag.wait(0.05):
        web.redis.publish(CANCELS, orjson.dumps({"ids": [name], "at": time.time()}))
    web.worker._cancels.forget(name)


def test_what_was_cancelled_is_dropped_before_the_model(web: Conversation) -> None:
    before = encoded_texts()
    cancel(web, "gone")
    gone, fine = web.ask(call("gone", "reset"), call("fine", "reset"))
    assert code(gone) == "cancelled" and "vectors" in fine
    assert encoded_texts() == before + 1


def test_calls_that_were_dropped_leave_nothing_that_only_a_full_collection_frees(web: Conversation) -> None:
    asked = [call("late", "reset", seconds=-0.1), call("gone", "reset"), call("fine", "reset")]
    cancel(web, "gone")
    gc.collect()
    gc.disable()
    try:
        web.ask(*asked)
        left = [one for one in gc.get_objects() if type(one) is Call and all(one is not own for own in asked)]
    finally:
        gc.enable()
    assert left == []


def test_a_cancellation_of_another_release_does_not_end_the_listening(web: Conversation) -> None:
    cancel(web, "another")  # from here on the worker listens
    for message in (b"nonsense", b'["gone"]', b"3"):
        web.redis.publish(CANCELS, message)
    cancel(web, "gone")
    (gone,) = web.ask(call("gone", "reset"))
    assert code(gone) == "cancelled"


def test_more_texts_than_may_wait_are_refused_at_once(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QA_BATCH_MAX_WAITING", "3")
    get_settings.cache_clear()
    web = Conversation(get_settings().redis_url)
    (refused,) = web.ask(call("a", *["reset"] * 50))
    assert code(refused) == "overloaded" and refused["error"]["details"]["retry_after_s"] > 0
    wait_for(lambda: not REGISTRY.get_sample_value("wenlu_batch_waiting", {"model": "encoder"}))  # what was refused midway has left it
    assert "vectors" in web.ask(call("b", "reset"))[0]
    web.close()


def test_imports_leave_threads_to_people(web: Conversation) -> None:
    with web.worker._bulk:  # an import has the one thread of two that imports may have
        (refused,) = web.ask(call("import", "reset"), priority=Priority.BULK)
        (fine,) = web.ask(call("person", "reset"))
    assert code(refused) == "overloaded" and "vectors" in fine
    assert "vectors" in web.ask(call("import", "reset"), priority=Priority.BULK)[0]


def test_a_call_that_cannot_be_read_spoils_no_other(web: Conversation) -> None:
    broken = Call(id="broken", body={"texts": 3}, deadline_at=time.time() + 5)
    row, fine = web.ask(broken, call("fine", "reset"))
    assert code(row) == "invalid_request" and "vectors" in fine


def test_a_service_that_breaks_on_one_call_spoils_no_other(web: Conversation) -> None:
    scripted = web.worker._services["encoder"] = ScriptedService()
    scripted.futures["a"].set_result(None)
    broken, fine = web.ask(call("broken", "unknown to it"), call("fine", "a"))
    assert code(broken) == "internal" and "KeyError" in broken["error"]["message"]
    assert fine["said"] == "a"


def test_a_role_that_it_does_not_serve_is_refused_by_name(web: Conversation) -> None:
    (row,) = web.ask(call("a", "reset"), role="painter")
    assert code(row) == "invalid_request" and "painter" in row["error"]["message"]


def test_passages_are_reranked_under_the_same_rules(web: Conversation) -> None:
    cancel(web, "gone")
    before = encoded_texts()
    late, gone = web.ask(rerank_call("late", "how", seconds=-0.1), rerank_call("gone", "how"), role="reranker")
    assert (code(late), code(gone)) == ("deadline_exceeded", "cancelled") and encoded_texts() == before
    broken = Call(id="broken", body={"query": "a"}, deadline_at=time.time() + 5)
    unread, fine = web.ask(broken, rerank_call("fine", "how", "reset the password"), role="reranker")
    assert code(unread) == "invalid_request"
    assert scores_from_dict(fine).scores.shape == (2,) and scores_from_dict(fine).model_id.startswith("late-interaction:tiny@")


def test_more_passages_than_may_wait_are_refused_at_once(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QA_BATCH_MAX_WAITING", "3")
    get_settings.cache_clear()
    web = Conversation(get_settings().redis_url)
    (refused,) = web.ask(rerank_call("a", *(f"reset {number}" for number in range(50))), role="reranker")
    assert code(refused) == "overloaded" and refused["error"]["details"]["retry_after_s"] > 0
    web.close()


def test_a_role_that_no_worker_alive_serves_is_refused_at_once(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QA_WORKER_ROLES", "encoder")
    get_settings.cache_clear()
    web = Conversation(get_settings().redis_url)
    wait_for(lambda: read_workers(web.redis))  # its first heartbeat
    reranker, began = RemoteReranker(), time.monotonic()
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="serves the role reranker"):
            reranker.score("reset", ["how"])
    assert time.monotonic() - began < 5
    assert web.redis.llen(queue_name("reranker", Priority.LIVE)) == 0  # nobody would ever take it out
    reranker.close()
    web.close()


def test_a_message_without_an_address_is_an_error_in_the_log(web: Conversation) -> None:
    with pytest.raises(InvalidRequest):
        web.worker.serve({"hello": "world"})
