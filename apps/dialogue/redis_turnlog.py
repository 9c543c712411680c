"""Where a turn's events are kept for all web processes: in one Redis stream a turn.

An entry's id is `<seq>-0`: the stream itself is the sequence, and reading after a number needs no index. A stop is
published on a channel of its own, which the process that runs the turn listens to.

Redis may be away, or come back empty. So whoever runs a turn keeps its frames until Redis has them all, goes on without
Redis meanwhile, and writes them anew afterwards; and says every second that it lives, so that nobody waits for the dead.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.dialogue.turnlog import unknown_turn
from core.config import get_settings
from core.errors import DeadlineExceeded, Interrupted
from core.events import ENDS
from core.types import JSONDict

log = logging.getLogger(__name__)

MAX_OWN_TURNS = 5_000
BEAT_S = 1.0
ALIVE_S = 8.0
GONE_S = 3.0
BLOCK_S = 1.0
POLL_S = 0.2
LISTEN_WAIT_S = 2.0
TIMEOUT_S = 2.0
_CANCELS = "wenlu:cancels"


@dataclass(eq=False, slots=True)
class _OwnTurn:
    """A turn that this process runs. Redis has the first `stored` of its frames; where that is in doubt, all are written anew."""

    frames: list[bytes] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stored: int = 0
    in_doubt: bool = False
    ended: bool = False


class _Writer(StrEnum):
    """What a reader who hears nothing finds out about who writes the turn."""

    DONE = "done"
    ALIVE = "alive"
    GONE = "gone"


class RedisTurnLog:
    """Implements `core.protocols.TurnLog` for any number of web processes.

    No call waits longer than `TIMEOUT_S` for a Redis that does not answer, and while it is known to be away none waits at all.
    """

    def __init__(self, url: str | None = None, keep_s: float | None = None) -> None:
        settings = get_settings()
        address = url or settings.redis_url
        self._redis = _client(address, TIMEOUT_S)
        self._reading = _client(address, BLOCK_S + TIMEOUT_S)
        self._keep_ms = int(1000 * (settings.turn_log_keep_s if keep_s is None else keep_s))
        self._process = uuid.uuid4().hex
        self._own: dict[str, _OwnTurn] = {}
        self._lock = threading.Lock()
        self._away = threading.Event()
        self._beat_at = 0.0
        self._listener: threading.Thread | None = None
        self._listening = threading.Event()
        self._closed = threading.Event()

    def append(self, turn: str, frame: JSONDict) -> int:
        """Adds the frame to the turn's stream, now or once Redis is back."""
        own = self._own_turn(turn)
        with own.lock:
            seq = len(own.frames) + 1
            frame["seq"] = seq
            own.frames.append(orjson.dumps(frame))
            own.ended = frame["type"] in ENDS
            self._store(turn, own)
        return seq

    def read(self, turn: str, after: int, timeout_s: float = 30.0) -> Iterator[JSONDict]:
        """Frames beyond `after`, waiting for new ones, to the turn's end. Raises Interrupted where its process is gone."""
        try:
            is_known = turn in self._own or bool(self._reading.exists(_stream(turn)))
        except redis.RedisError:
            is_known = True  # as far as can be told; it is looked for once Redis is back
        if not is_known:
            raise unknown_turn(turn)
        return self._follow(turn, max(0, after), timeout_s)

    def cancel(self, turn: str) -> None:
        """Tells the process that runs the turn to stop it. Raises DeadlineExceeded where it cannot be told."""
        if own := self._own.get(turn):
            own.cancel.set()
            return
        try:
            if not self._redis.exists(_stream(turn)):
                raise unknown_turn(turn)
            self._redis.publish(_CANCELS, turn)
        except redis.RedisError as error:
            raise DeadlineExceeded("The stop could not be passed on, since Redis does not answer; try again in a moment.") from error

    def watch_cancel(self, turn: str) -> threading.Event:
        """The turn's stop flag, set when any process cancels the turn. The first call waits until this process listens."""
        flag = self._own_turn(turn).cancel
        self._listen_from_now()
        self._listening.wait(LISTEN_WAIT_S)
        return flag

    def close(self) -> None:
        """Ends the listener and the connections."""
        self._closed.set()
        if self._listener is not None:
            self._listener.join(timeout=2)
        self._redis.close()
        self._reading.close()

    # what this process writes

    def _own_turn(self, turn: str) -> _OwnTurn:
        with self._lock:
            own = self._own.get(turn)
            if own is None:
                while len(self._own) >= MAX_OWN_TURNS:
                    self._own.pop(next(iter(self._own)))
                own = self._own[turn] = _OwnTurn()
            return own

    def _store(self, turn: str, own: _OwnTurn) -> None:
        """Sends what Redis lacks of the turn, and forgets a turn that it has whole. Call with the turn's lock."""
        try:
            while not self._away.is_set() and own.stored < len(own.frames):
                self._send(turn, own)
        except redis.RedisError as error:
            own.in_doubt = True
            self._lose(error)
        if own.ended and own.stored == len(own.frames):
            with self._lock:
                self._own.pop(turn, None)

    def _send(self, turn: str, own: _OwnTurn) -> None:
        """One pipeline; `stored` stays behind where the stream then has another length, since Redis forgot what it had."""
        pipe, begins = self._redis.pipeline(transaction=own.in_doubt), own.in_doubt or own.stored == 0
        if own.in_doubt:
            own.stored = 0
            pipe.delete(_stream(turn))
        for seq, frame in enumerate(own.frames[own.stored :], own.stored + 1):
            pipe.xadd(_stream(turn), {"frame": frame, "by": self._process}, id=f"{seq}-0")
        if begins or own.ended:
            pipe.pexpire(_stream(turn), self._keep_ms)
        pipe.xlen(_stream(turn))
        own.in_doubt = pipe.execute()[-1] != len(own.frames)
        own.stored = 0 if own.in_doubt else len(own.frames)

    def _lose(self, error: redis.RedisError) -> None:
        if not self._away.is_set():
            log.warning("turn log unreachable, turns go on without it error=%r", error)
        self._away.set()
        self._listen_from_now()

    # what this process hears

    def _listen_from_now(self) -> None:
        with self._lock:
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="turn-cancels", daemon=True)
                self._listener.start()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self._reading.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(_CANCELS)
                    channel.get_message(timeout=LISTEN_WAIT_S)  # the server's word that it has subscribed us
                    while not self._closed.is_set():
                        self._beat()
                        self._listening.set()
                        message = channel.get_message(timeout=BEAT_S / 2)
                        if message is not None and (own := self._own.get(message["data"].decode())):
                            own.cancel.set()
            except redis.RedisError as error:
                self._lose(error)
                self._listening.set()  # a turn does not wait for a server that is away
                self._closed.wait(POLL_S)

    def _beat(self) -> None:
        """Says once a second that this process lives. A Redis that did not know has lost the turns as well."""
        if not self._away.is_set() and time.monotonic() - self._beat_at < BEAT_S:
            return
        was_known = self._redis.set(_process(self._process), b"1", px=int(1000 * ALIVE_S), get=True)
        self._beat_at = time.monotonic()
        if self._away.is_set():
            log.info("turn log reachable again")
            self._away.clear()
        for turn, own in list(self._own.items()):
            with own.lock:
                if own.frames and (own.in_doubt or own.stored < len(own.frames) or not was_known):
                    own.stored, own.in_doubt = 0, True
                    self._store(turn, own)

    # what any process reads

    def _follow(self, turn: str, after: int, timeout_s: float) -> Iterator[JSONDict]:
        heard_at, gone_since = time.monotonic(), None
        while True:
            frames = self._frames_after(turn, after)
            for frame in frames:
                yield frame
                after += 1
                if frame["type"] in ENDS:
                    return
            now = time.monotonic()
            if frames:
                heard_at, gone_since = now, None
                continue
            writer = self._look_for_writer(turn, after)
            if writer is _Writer.DONE:
                return  # who has seen the end waits for nothing
            gone_since = (gone_since or now) if writer is _Writer.GONE else None
            if gone_since is not None and now - gone_since > GONE_S:
                raise Interrupted("The server that was answering has ended; please ask again.")
            if now - heard_at > timeout_s:
                raise DeadlineExceeded(f"The turn said nothing for {timeout_s:g} s.")

    def _frames_after(self, turn: str, after: int) -> list[JSONDict]:
        """The next frames without a gap, waiting up to `BLOCK_S` for the first; from memory where Redis is away and the turn is ours."""
        own = self._own.get(turn)
        if self._away.is_set() and own is not None and len(own.frames) > after:
            return [orjson.loads(frame) for frame in own.frames[after:]]
        try:
            found: Any = self._reading.xread({_stream(turn): f"{after}-0"}, count=500, block=int(1000 * BLOCK_S))
        except redis.RedisError:
            self._closed.wait(POLL_S)
            return []
        frames: list[JSONDict] = []
        for entry_id, fields in found[0][1] if found else ():
            if entry_id != b"%d-0" % (after + len(frames) + 1):
                break
            frames.append(orjson.loads(fields[b"frame"]))
        if found and not frames:
            self._closed.wait(POLL_S)  # what lies between was lost; whoever runs the turn writes it anew
        return frames

    def _look_for_writer(self, turn: str, after: int) -> _Writer:
        if turn in self._own:
            return _Writer.ALIVE
        try:
            last: Any = self._reading.xrevrange(_stream(turn), count=1)
            if not last:
                return _Writer.GONE
            entry_id, fields = last[0]
            if orjson.loads(fields[b"frame"])["type"] in ENDS:
                return _Writer.DONE if int(entry_id.split(b"-")[0]) <= after else _Writer.GONE
            return _Writer.ALIVE if self._reading.exists(_process(fields[b"by"].decode())) else _Writer.GONE
        except redis.RedisError:
            return _Writer.ALIVE  # as far as can be told


def _client(url: str, timeout_s: float) -> redis.Redis:
    """A client that never tries twice: its callers know what to do meanwhile."""
    return redis.Redis.from_url(
        url, retry=Retry(NoBackoff(), 0), health_check_interval=30, socket_timeout=timeout_s, socket_connect_timeout=TIMEOUT_S
    )


def _stream(turn: str) -> str:
    return f"wenlu:turn:{turn}"


def _process(process: str) -> str:
    return f"wenlu:web:{process}"
