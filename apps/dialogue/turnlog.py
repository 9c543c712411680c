"""Where a turn's events are kept while people may still ask for them: in memory, or in Redis Streams for many processes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis

from core.config import get_settings
from core.errors import DeadlineExceeded, NotFound
from core.events import ENDS
from core.types import JSONDict

MAX_TURNS = 20_000


def _unknown(turn: str) -> NotFound:
    return NotFound("No such turn, or its events are no longer kept.", turn=turn[:64])


@dataclass(slots=True)
class _Record:
    frames: list[JSONDict] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    cancel: threading.Event = field(default_factory=threading.Event)
    touched: float = field(default_factory=time.monotonic)

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return bool(self.frames) and self.frames[-1]["type"] in ENDS


class MemoryTurnLog:
    """Keeps the events of this process's turns, the oldest forgotten first."""

    def __init__(self, keep_s: float | None = None, max_turns: int = MAX_TURNS) -> None:
        self._keep_s = get_settings().turn_log_keep_s if keep_s is None else keep_s
        self._max_turns = max_turns
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = threading.Lock()

    def append(self, turn: str, frame: JSONDict) -> int:
        """Stores the frame under the next number, which it also writes into `frame["seq"]`."""
        record = self._open(turn)
        with record.changed:
            seq = len(record.frames) + 1
            frame["seq"] = seq
            record.frames.append(frame)
            record.touched = time.monotonic()
            record.changed.notify_all()
        return seq

    def read(self, turn: str, after: int, timeout_s: float = 30.0) -> Iterator[JSONDict]:
        """Frames beyond `after`, waiting for new ones, to the turn's end."""
        record = self._records.get(turn)
        if record is None:
            raise _unknown(turn)
        return self._follow(record, max(0, after), timeout_s)

    def cancel(self, turn: str) -> None:
        """Sets the flag that the running turn watches."""
        record = self._records.get(turn)
        if record is None:
            raise _unknown(turn)
        record.cancel.set()

    def watch_cancel(self, turn: str) -> threading.Event:
        """The turn's stop flag."""
        return self._open(turn).cancel

    def _follow(self, record: _Record, after: int, timeout_s: float) -> Iterator[JSONDict]:
        while True:
            with record.changed:
                if not record.changed.wait_for(lambda: len(record.frames) > after or record.ended, timeout_s):  # noqa: B023 - called at once
                    raise DeadlineExceeded(f"The turn said nothing for {timeout_s:g} s.")
                ready, ended = record.frames[after:], record.ended
            yield from ready
            after += len(ready)
            if ended:
                return

    def _open(self, turn: str) -> _Record:
        with self._lock:
            record = self._records.get(turn)
            if record is None:
                self._forget_old()
                record = self._records[turn] = _Record()
            return record

    def _forget_old(self) -> None:
        limit = time.monotonic() - self._keep_s
        while self._records:
            oldest = next(iter(self._records.values()))
            if len(self._records) < self._max_turns and oldest.touched > limit:
                return
            self._records.popitem(last=False)


class RedisTurnLog:
    """Keeps events in one Redis stream a turn, where every web process can read them.

    An entry's id is `<seq>-0`: the stream itself is the sequence, and reading after a number needs no index. A stop is
    published on a channel of its own, which the process that runs the turn listens to.
    """

    def __init__(self, url: str | None = None, keep_s: float | None = None) -> None:
        settings = get_settings()
        self._redis = redis.Redis.from_url(url or settings.redis_url, health_check_interval=30, socket_timeout=10, socket_connect_timeout=3)
        self._keep_ms = int(1000 * (settings.turn_log_keep_s if keep_s is None else keep_s))
        self._next: dict[str, int] = {}
        self._flags: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self._listening = threading.Event()
        self._closed = threading.Event()

    def append(self, turn: str, frame: JSONDict) -> int:
        """Adds the frame to the turn's stream; the first and the last one also set how long it is kept."""
        with self._lock:
            seq = self._next.get(turn, 1)
            self._next[turn] = seq + 1
        frame["seq"] = seq
        pipe = self._redis.pipeline(transaction=False)
        pipe.xadd(_stream(turn), {"frame": orjson.dumps(frame)}, id=f"{seq}-0")
        ended = frame["type"] in ENDS
        if seq == 1 or ended:
            pipe.pexpire(_stream(turn), self._keep_ms)
        pipe.execute()
        if ended:
            with self._lock:
                self._next.pop(turn, None)
                self._flags.pop(turn, None)
        return seq

    def read(self, turn: str, after: int, timeout_s: float = 30.0) -> Iterator[JSONDict]:
        """Frames beyond `after`, waiting for new ones, to the turn's end."""
        if not self._redis.exists(_stream(turn)):
            raise _unknown(turn)
        return self._follow(turn, max(0, after), timeout_s)

    def cancel(self, turn: str) -> None:
        """Tells the process that runs the turn to stop it."""
        if not self._redis.exists(_stream(turn)):
            raise _unknown(turn)
        self._redis.publish(_CANCELS, turn)

    def watch_cancel(self, turn: str) -> threading.Event:
        """The turn's stop flag, set when any process cancels the turn. The first call waits until this process listens."""
        with self._lock:
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="turn-cancels", daemon=True)
                self._listener.start()
            flag = self._flags.setdefault(turn, threading.Event())
        self._listening.wait(_LISTEN_WAIT_S)
        return flag

    def close(self) -> None:
        """Ends the listener and the connections."""
        self._closed.set()
        if self._listener is not None:
            self._listener.join(timeout=2)
        self._redis.close()

    def _follow(self, turn: str, after: int, timeout_s: float) -> Iterator[JSONDict]:
        waited_until = time.monotonic() + timeout_s
        while True:
            found: Any = self._redis.xread({_stream(turn): f"{after}-0"}, count=500, block=1000)
            if not found:
                if self._ended(turn):
                    return  # who has seen the end waits for nothing
                if time.monotonic() > waited_until:
                    raise DeadlineExceeded(f"The turn said nothing for {timeout_s:g} s.")
                continue
            for _, fields in found[0][1]:
                frame: JSONDict = orjson.loads(fields[b"frame"])
                yield frame
                after += 1
                if frame["type"] in ENDS:
                    return
            waited_until = time.monotonic() + timeout_s

    def _ended(self, turn: str) -> bool:
        last: Any = self._redis.xrevrange(_stream(turn), count=1)
        return bool(last) and orjson.loads(last[0][1][b"frame"])["type"] in ENDS

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(_CANCELS)
                    channel.get_message(timeout=_LISTEN_WAIT_S)  # the server's word that it has subscribed us
                    self._listening.set()
                    while not self._closed.is_set():
                        message = channel.get_message(timeout=0.5)
                        if message is not None:
                            self._set_flag(message["data"].decode())
            except redis.RedisError:
                self._listening.set()  # a turn does not wait for a server that is away
                self._closed.wait(0.5)

    def _set_flag(self, turn: str) -> None:
        with self._lock:
            flag = self._flags.get(turn)
        if flag is not None:
            flag.set()


_CANCELS = "wenlu:cancels"
_LISTEN_WAIT_S = 2.0


def _stream(turn: str) -> str:
    return f"wenlu:turn:{turn}"
