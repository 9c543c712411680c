"""How a text gets from the worker that writes it to the web process that waits: a Redis stream each, bounded and short-lived.

The worker's one sender thread sends what is new of all its texts in one round trip, as soon as there is something, and at most
every `PAUSE_S`, so that chunks merge by themselves where Redis or the reader lags. Entries are numbered: a reader notices when
Redis lost some, and never shows a text with a gap.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import redis

from core.errors import DeadlineExceeded, ModelUnavailable, QAError
from core.metrics import GENERATION_STOP_SECONDS, TEXT_DELAY_SECONDS
from core.protocols import Chunk
from core.types import FinishReason, JSONDict
from workers.cancels import CancelFlag
from workers.chunks import TextStream
from workers.wire import Writer, chunk_as_dict, chunk_from_dict, writer_as_dict, writer_from_dict
from workers.wire_errors import error_as_dict, error_from_dict

log = logging.getLogger(__name__)

PAUSE_S = 0.005
RETRY_S = 0.2
KEEP_S = 60
CLAIM_S = 600
BLOCK_S = 0.1
GRACE_S = 2.0
SAY_AGAIN_S = 0.5
MAX_ENTRIES = 20_000


def text_key(text_id: str) -> str:
    """The stream of a text."""
    return f"wenlu:text:{text_id}"


def claim_text(client: redis.Redis, text_id: str, writer: Writer) -> Writer:
    """Who writes the text: the first who claims it, so that a call that was sent twice is written once."""
    key, mine = f"{text_key(text_id)}:writer", orjson.dumps(writer_as_dict(writer))
    if client.set(key, mine, nx=True, ex=CLAIM_S):
        return writer
    return writer_from_dict(orjson.loads(client.get(key) or mine))


def send_error(client: redis.Redis, text_id: str, error: QAError) -> None:
    """Ends a text that never began."""
    pipe = client.pipeline(transaction=False)
    pipe.xadd(text_key(text_id), {"c": orjson.dumps({"n": 1, "at": time.time(), **_as_dict(error)})})
    pipe.expire(text_key(text_id), KEEP_S)
    pipe.execute()


@dataclass(eq=False, slots=True)
class _Outgoing:
    """A text on its way. `unsent` waits for a Redis that answers."""

    key: str
    stream: TextStream
    cancel: CancelFlag
    on_end: Callable[[], None]
    sent: int = 0
    unsent: list[bytes] = field(default_factory=list)
    ended: bool = False

    def collect(self) -> None:
        """Takes what the loop wrote since the last time."""
        while not self.ended and (taken := self.stream.take_now()) is not None:
            written_at, item = taken
            self.sent += 1
            self.ended = isinstance(item, QAError) or item.finish_reason is not None
            self.unsent.append(orjson.dumps({"n": self.sent, "at": written_at, **_as_dict(item)}))


class TokenSender:
    """Sends the texts of one worker. `send` hands one over."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._texts: list[_Outgoing] = []
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="token-sender", daemon=True)
        self._thread.start()

    def send(self, text_id: str, stream: TextStream, cancel: CancelFlag, on_end: Callable[[], None]) -> None:
        """From now on what `stream` gets is sent; `on_end` is called after the last chunk."""
        with self._lock:
            self._texts.append(_Outgoing(text_key(text_id), stream, cancel, on_end))
        stream.on_news = self._news.set
        self._news.set()  # for what was written before

    def close(self) -> None:
        """Sends what is there and ends; close the generator before."""
        self._closed = True
        self._news.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._news.wait()
            self._news.clear()
            is_last = self._closed  # said before what is sent now was looked at
            try:
                self._flush()
            except redis.RedisError as error:
                log.warning("text not sent error=%r", error)
                self._news.set()
                time.sleep(RETRY_S)
            except Exception:  # a sender that died would keep every later text from its reader
                log.exception("token sender broke; it goes on")
                time.sleep(RETRY_S)
            time.sleep(PAUSE_S)

    def _flush(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for text in list(self._texts):
            text.collect()
            for entry in text.unsent:
                pipe.xadd(text.key, {"c": entry}, maxlen=MAX_ENTRIES)
            if text.unsent:
                pipe.expire(text.key, KEEP_S)
        if not pipe.command_stack:
            return
        pipe.execute()
        for text in list(self._texts):
            text.unsent.clear()
            if text.ended:
                self._finish(text)

    def _finish(self, text: _Outgoing) -> None:
        with self._lock:
            self._texts.remove(text)
        if text.cancel.said_at is not None and text.stream.ended_at is not None:
            GENERATION_STOP_SECONDS.observe(max(0.0, text.stream.ended_at - text.cancel.said_at))
        text.on_end()


class TokenReader:
    """The web process's end of one text.

    `is_alive` tells whether its writer still lives; `stop` tells the writer to end it, if it listens just now.
    """

    def __init__(self, client: redis.Redis, text_id: str, *, is_alive: Callable[[], bool], stop: Callable[[], object]) -> None:
        self._redis = client
        self._key = text_key(text_id)
        self._is_alive = is_alive
        self._stop = stop
        self._last_id = "0"
        self._read = 0
        self._stopping_since: float | None = None
        self._say_stop_at = 0.0

    def chunks(self, cancel: threading.Event, deadline: float) -> Iterator[Chunk]:
        """The chunks to the last, what came meanwhile as one. `deadline` is on `time.monotonic()`'s clock.

        Raises what ended the text in the worker, ModelUnavailable where worker or Redis are lost, DeadlineExceeded where the
        worker does not end the text in time.
        """
        has_ended, heard_at = False, time.monotonic()
        try:
            while not has_ended:
                chunk = self._next()
                if chunk is not None:
                    has_ended, heard_at = chunk.finish_reason is not None, time.monotonic()
                    yield chunk
                elif cancel.is_set() and self._is_overdue():
                    has_ended = True
                    yield Chunk(text="", finish_reason=FinishReason.CANCELLED)
                else:
                    heard_at = self._look_after(heard_at, deadline)
                if cancel.is_set():
                    self._say_stop()
        finally:
            if not has_ended:
                self._say_stop()

    def _say_stop(self) -> None:
        """Again and again until the text ends: its writer may have lost Redis for a moment."""
        now = time.monotonic()
        self._stopping_since = self._stopping_since or now
        if now >= self._say_stop_at:
            self._say_stop_at = now + SAY_AGAIN_S
            self._stop()

    def _is_overdue(self) -> bool:
        return self._stopping_since is not None and time.monotonic() - self._stopping_since > GRACE_S

    def _look_after(self, heard_at: float, deadline: float) -> float:
        """After a while without news: is there still somebody who writes?"""
        now = time.monotonic()
        if now > deadline + GRACE_S:
            raise DeadlineExceeded("The inference worker did not end the text within its deadline.")
        if now - heard_at < GRACE_S:
            return heard_at
        if not self._is_alive():
            raise ModelUnavailable("The inference worker that wrote this text is gone.")
        return now

    def _next(self) -> Chunk | None:
        """What came since the last call as one, waiting a moment for it; None where nothing did. Raises the text's error."""
        try:
            found: Any = self._redis.xread({self._key: self._last_id}, block=int(BLOCK_S * 1000))
        except redis.RedisError:
            time.sleep(RETRY_S)
            return None
        text, last = "", None
        for entry_id, fields in found[0][1] if found else ():
            row = orjson.loads(fields[b"c"])
            if row["n"] <= self._read:  # sent again, since the writer did not hear that it had arrived
                self._last_id = entry_id.decode()
                continue
            if row["n"] != self._read + 1:
                raise ModelUnavailable("A part of the text was lost on its way from the inference worker.")
            if "error" in row and last is not None:
                break  # with the next call, after the text before it
            if "error" in row:
                raise error_from_dict(row["error"])
            self._last_id, self._read = entry_id.decode(), row["n"]
            TEXT_DELAY_SECONDS.observe(max(0.0, time.time() - row["at"]))
            last = chunk_from_dict(row)
            text += last.text
        return last and replace(last, text=text)


def _as_dict(item: Chunk | QAError) -> JSONDict:
    return error_as_dict(item) if isinstance(item, QAError) else chunk_as_dict(item)
