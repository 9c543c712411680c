"""Does a text arrive whole, merged, stopped and in order over a real Redis? Sender and reader in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson
import pytest
import redis

from core.errors import DeadlineExceeded, InvalidRequest, ModelUnavailable, QAError
from core.metrics import GENERATION_STOP_SECONDS
from core.protocols import Chunk, Usage
from core.types import FinishReason
from tests.inference_workers import redis_url
from workers import token_stream
from workers.cancels import CancelFlag
from workers.chunks import TextStream
from workers.token_stream import TokenReader, TokenSender, claim_text, send_error, text_key
from workers.wire import Writer

LAST = Chunk(text=".", finish_reason=FinishReason.STOP, usage=Usage(prompt_tokens=3, completion_tokens=4))


@dataclass
class Way:
    """One text from the loop's end to the reader's."""

    redis: redis.Redis
    sender: TokenSender
    stream: TextStream = field(default_factory=TextStream)
    flag: CancelFlag = field(default_factory=CancelFlag)
    cancel: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    stops: int = 0
    alive: bool = True
    is_heard: bool = True

    def send(self) -> None:
        self.sender.send("t1", self.stream, self.flag, on_end=self.ended.set)

    def stop(self) -> None:
        self.stops += 1
        if self.is_heard:
            self.flag.say(time.time())

    def read(self, deadline_s: float = 10.0) -> Iterator[Chunk]:
        reader = TokenReader(self.redis, "t1", is_alive=lambda: self.alive, stop=self.stop)
        return reader.chunks(self.cancel, time.monotonic() + deadline_s)


@pytest.fixture
def way() -> Iterator[Way]:
    client = redis.Redis.from_url(redis_url(13))
    sender = TokenSender(client)
    yield Way(client, sender)
    sender.close()
    client.close()


def test_a_text_arrives_as_it_is_written(way: Way) -> None:
    way.send()
    chunks = way.read()
    way.stream.put(Chunk(text="你"))
    assert next(chunks).text == "你"
    way.stream.put(Chunk(text="好"))
    assert next(chunks).text == "好"
    way.stream.put(LAST)
    assert list(chunks) == [LAST]
    assert way.ended.wait(2) and way.stops == 0


def test_a_reader_who_lags_gets_what_came_meanwhile_at_once(way: Way) -> None:
    way.send()
    for letter in "slowly":
        way.stream.put(Chunk(text=letter))
        time.sleep(0.03)
    way.stream.put(LAST)
    assert way.ended.wait(2)
    (chunk,) = way.read()
    assert (chunk.text, chunk.finish_reason, chunk.usage) == ("slowly.", LAST.finish_reason, LAST.usage)


def test_an_error_comes_after_the_text_before_it(way: Way) -> None:
    way.send()
    way.stream.put(Chunk(text="so far"))
    way.stream.put(ModelUnavailable("gone"))
    chunks = way.read()
    assert next(chunks).text == "so far"
    with pytest.raises(ModelUnavailable, match="gone"):
        next(chunks)


def test_a_text_that_never_began_says_why(way: Way) -> None:
    send_error(way.redis, "t1", InvalidRequest("too long", field="messages"))
    with pytest.raises(InvalidRequest, match="too long") as raised:
        list(way.read())
    assert raised.value.details == {"field": "messages"}


def test_a_stop_is_told_once_and_the_text_ends_with_what_was_written(way: Way) -> None:
    before = stops_counted()
    way.send()
    way.stream.put(Chunk(text="so far"))
    chunks = way.read()
    assert next(chunks).text == "so far"
    way.cancel.set()
    threading.Timer(0.3, way.stream.put, [Chunk(text="", finish_reason=FinishReason.CANCELLED)]).start()
    assert [chunk.finish_reason for chunk in chunks] == [FinishReason.CANCELLED]
    assert way.stops == 1 and way.ended.wait(2)
    assert stops_counted() == before + 1


def test_a_stop_is_said_again_while_the_text_goes_on(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_stream, "SAY_AGAIN_S", 0.0)
    way.send()
    way.is_heard = False  # another worker hears it, but not the one that writes
    way.cancel.set()
    chunks = way.read()
    for text in ("not", "yet"):
        way.stream.put(Chunk(text=text))
        next(chunks)
    way.is_heard = True
    way.stream.put(Chunk(text="now"))
    next(chunks)
    way.stream.put(LAST)
    assert list(chunks) == [LAST] and way.flag.is_set()


def test_a_stop_that_nobody_hears_ends_the_text_all_the_same(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_stream, "GRACE_S", 0.3)
    monkeypatch.setattr(token_stream, "SAY_AGAIN_S", 0.1)
    way.is_heard = False
    way.cancel.set()
    assert [chunk.finish_reason for chunk in way.read()] == [FinishReason.CANCELLED]
    assert way.stops > 1


def test_a_reader_who_leaves_stops_the_text(way: Way) -> None:
    way.send()
    way.stream.put(Chunk(text="so far"))
    chunks = way.read()
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert way.stops == 1 and way.flag.is_set()


def test_a_dead_writer_and_an_overdue_text_are_noticed(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_stream, "GRACE_S", 0.2)
    with pytest.raises(DeadlineExceeded):
        list(way.read(deadline_s=0.1))
    way.alive = False
    with pytest.raises(ModelUnavailable, match="gone"):
        list(way.read())


def test_a_text_with_a_gap_is_never_shown(way: Way) -> None:
    for number, text in ((1, "one "), (3, "three")):
        way.redis.xadd(text_key("t1"), {"c": orjson.dumps({"n": number, "at": 0.0, "text": text})})
    with pytest.raises(ModelUnavailable, match="lost"):
        list(way.read())


def test_a_part_that_is_sent_again_is_read_once(way: Way) -> None:
    rows = [{"n": 1, "text": "one "}, {"n": 1, "text": "one "}, {"n": 2, "text": "two", "finish_reason": "stop"}]
    for row in rows:
        way.redis.xadd(text_key("t1"), {"c": orjson.dumps({"at": 0.0, **row})})
    assert "".join(chunk.text for chunk in way.read()) == "one two"


def test_a_redis_that_fails_for_a_while_loses_nothing(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = way.redis.pipeline
    failures = iter([True, True])

    def pipeline(transaction: bool) -> object:
        if next(failures, False):
            raise redis.ConnectionError("away")
        return whole(transaction=transaction)

    monkeypatch.setattr(way.redis, "pipeline", pipeline)
    monkeypatch.setattr(token_stream, "RETRY_S", 0.02)
    way.stream.put(Chunk(text="all of it"))
    way.stream.put(LAST)
    way.send()
    assert "".join(chunk.text for chunk in way.read()) == "all of it."


def test_a_text_that_breaks_the_sender_keeps_no_other_from_its_reader(way: Way) -> None:
    broken = TextStream()
    way.sender.send("t0", broken, CancelFlag(), on_end=lambda: 1 / 0)
    broken.put(LAST)
    way.send()
    way.stream.put(LAST)
    assert list(way.read()) == [LAST]


def test_a_call_that_is_sent_twice_is_written_once(way: Way) -> None:
    first, second = Writer(host="a", pid=1), Writer(host="b", pid=2)
    assert claim_text(way.redis, "t1", first) == first
    assert claim_text(way.redis, "t1", second) == first


def test_a_text_leaves_redis_by_itself(way: Way) -> None:
    way.send()
    way.stream.put(LAST)
    assert way.ended.wait(2)
    claim_text(way.redis, "t1", Writer(host="a", pid=1))
    for key in way.redis.keys("wenlu:text:*"):
        assert 0 < way.redis.ttl(key) <= token_stream.CLAIM_S


def test_errors_are_those_that_the_worker_raised(way: Way) -> None:
    way.send()
    way.stream.put(QAError("odd", names=["a"]))
    with pytest.raises(QAError, match="odd"):
        list(way.read())


def stops_counted() -> float:
    return next(sample.value for metric in GENERATION_STOP_SECONDS.collect() for sample in metric.samples if sample.name.endswith("_count"))
