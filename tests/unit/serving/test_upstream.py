"""An OpenAI-compatible server as a generator: what it says, how it fails, and what is tried again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Timer

import pytest

from apps.serving import upstream as module
from apps.serving.upstream import Endpoint, UpstreamGenerator, list_upstream_models
from core.errors import DeadlineExceeded, InferenceFailed, InvalidRequest, ModelUnavailable, Overloaded, QAError
from core.net import AddressRefused
from core.protocols import Chunk, GenerationRequest, Generator, Usage
from core.types import FinishReason
from tests.openai_server import Script, fails, hangs, hangs_up, says, upstream

REQUEST = GenerationRequest(messages=(("user", "hello"),), max_tokens=9, temperature=0.5, top_p=0.9, stop=("END",), seed=3)
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def own_network(configure: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(private_hosts="127.0.0.1")
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)


def generator_at(script: Script, **more: object) -> UpstreamGenerator:
    return UpstreamGenerator(Endpoint(name="far", base_url=script.url, model="qwen", key=KEY, **more))  # type: ignore[arg-type]


def run(generator: UpstreamGenerator, request: GenerationRequest = REQUEST, cancel: Event | None = None) -> list[Chunk]:
    return list(generator.stream(request, cancel or Event()))


def test_it_is_a_generator_like_any_other() -> None:
    with upstream(says("Hello ", "world", reason="length")) as script:
        generator = generator_at(script)
        assert isinstance(generator, Generator) and generator.model_id == "far:qwen"
        *texts, end = run(generator)
    assert [chunk.text for chunk in texts] == ["Hello ", "world"]
    assert (end.finish_reason, end.usage) == (FinishReason.LENGTH, Usage(prompt_tokens=5, completion_tokens=2))
    ((path, headers, body),) = script.requests
    assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert [body[name] for name in ("model", "max_tokens", "temperature", "top_p", "stop", "seed")] == ["qwen", 9, 0.5, 0.9, ["END"], 3]


def test_a_stream_without_usage_and_without_done_is_whole() -> None:
    with upstream(says("yes", usage=None, done=False)) as script:
        assert run(generator_at(script))[-1] == Chunk(text="", finish_reason=FinishReason.STOP)


@pytest.mark.parametrize("trouble", [fails(429), fails(500), fails(503), hangs_up, says(reason=None)])
def test_trouble_before_the_first_word_is_tried_again(trouble: Callable) -> None:
    with upstream(trouble, trouble, says("at last")) as script:
        assert run(generator_at(script))[0].text == "at last"
    assert len(script.requests) == 3


def test_it_is_tried_so_often_and_no_more() -> None:
    with upstream(fails(500)) as script, pytest.raises(ModelUnavailable, match="status 500"):
        run(generator_at(script, retries=1))
    assert len(script.requests) == 2


def test_after_the_first_word_nothing_is_tried_again() -> None:
    with upstream(says("half", reason=None), says("whole")) as script:
        chunks = generator_at(script).stream(REQUEST, Event())
        assert next(chunks).text == "half"
        with pytest.raises(ModelUnavailable, match="broke off"):
            list(chunks)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "says_so"),
    [
        (fails(400, "too many tokens", "messages"), InvalidRequest, "too many tokens"),
        (fails(401, f"bad key {KEY}"), ModelUnavailable, "refuses its key"),
        (fails(404, "no model qwen"), ModelUnavailable, "no model qwen"),
        (fails(307, location="http://127.0.0.1:1/"), ModelUnavailable, "307"),
    ],
)
def test_what_another_try_cannot_help_fails_at_once(answer: Callable, kind: type[QAError], says_so: str) -> None:
    with upstream(answer) as script, pytest.raises(kind, match=says_so) as failed:
        run(generator_at(script))
    assert len(script.requests) == 1
    assert KEY not in failed.value.message


def test_a_long_retry_after_is_handed_on_and_a_short_one_kept_to() -> None:
    with upstream(fails(429, retry_after="60")) as script, pytest.raises(Overloaded) as full:
        run(generator_at(script))
    assert full.value.details["retry_after_s"] == 60
    with upstream(fails(429, retry_after="1"), says("now")) as script:
        began = time.monotonic()
        assert run(generator_at(script))[0].text == "now"
    assert time.monotonic() - began >= 1


def test_a_server_that_says_nothing_is_left() -> None:
    with upstream(hangs()) as script, pytest.raises(DeadlineExceeded):
        run(generator_at(script, read_timeout_s=0.3))
    assert len(script.requests) == 1


def test_a_cancel_in_mid_stream_ends_it_and_the_connection() -> None:
    cancel = Event()
    with upstream(hangs("one ")) as script:
        chunks = generator_at(script).stream(REQUEST, cancel)
        assert next(chunks).text == "one "
        Timer(0.1, cancel.set).start()
        began = time.monotonic()
        assert [chunk.finish_reason for chunk in chunks] == [FinishReason.CANCELLED]
        assert time.monotonic() - began < 8
        assert script.left.wait(5)


def test_a_closed_iterator_ends_the_connection() -> None:
    with upstream(hangs("one ")) as script:
        chunks = generator_at(script).stream(REQUEST, Event())
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]
        assert script.left.wait(5)


def test_what_was_written_until_the_deadline_stays() -> None:
    request = GenerationRequest(messages=(("user", "hello"),), deadline_s=0.5)
    with upstream(hangs("one ")) as script:
        assert [(chunk.text, chunk.finish_reason) for chunk in run(generator_at(script), request)] == [
            ("one ", None),
            ("", FinishReason.DEADLINE),
        ]
    with upstream(hangs()) as script, pytest.raises(DeadlineExceeded):
        run(generator_at(script), request)


@pytest.mark.parametrize("garbage", ["{", "[1]", "x" * (module.MAX_LINE_BYTES + 1)])
def test_garbage_is_an_error_and_no_crash(garbage: str) -> None:
    def answer(exchange: object) -> None:
        exchange.head(200)  # type: ignore[attr-defined]
        exchange.event(garbage)  # type: ignore[attr-defined]

    with upstream(answer) as script, pytest.raises(InferenceFailed):
        run(generator_at(script))


def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    with upstream(says()) as script:
        gone = generator_at(script)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        run(gone)


def test_a_server_of_the_own_network_must_be_listed(configure: Callable) -> None:
    configure(private_hosts="")
    with upstream(says("secret")) as script, pytest.raises(AddressRefused):
        run(generator_at(script))
    assert script.requests == []


def test_the_key_is_in_no_log_and_no_description(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), upstream(fails(500), fails(401, KEY)) as script:
        generator = generator_at(script)
        with pytest.raises(ModelUnavailable):
            run(generator)
    assert KEY not in caplog.text and KEY not in repr(generator._endpoint)


def test_its_models_can_be_listed() -> None:
    def models(exchange: object) -> None:
        exchange.head(200)  # type: ignore[attr-defined]
        exchange.wfile.write(b'{"data": [{"id": "qwen"}, {"id": "other"}]}')  # type: ignore[attr-defined]

    with upstream(models) as script:
        endpoint = Endpoint(name="far", base_url=script.url, model="qwen")
        assert list_upstream_models(endpoint) == ["qwen", "other"]
    assert script.requests[0][0] == "/v1/models" and "authorization" not in script.requests[0][1]
