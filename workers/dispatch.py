"""How this process's calls get to workers and back: one sender thread, one reader thread, futures matched by id.

Calls of many threads share messages: a few messages are under way at a time, and what comes meanwhile goes together in
the next (Nagle's algorithm, bounded in time). An unanswered call is sent once more when its worker may have died.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from core.config import Settings, get_settings
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded, QAError
from core.metrics import REMOTE_RESENT, REMOTE_SECONDS, REMOTE_WAITING
from core.types import JSONDict
from core.worker_registry import ALIVE_S, read_workers
from workers.batching import Priority
from workers.broker import TASK, make_app, queue_name
from workers.replies import ChannelReader
from workers.wire import Call, Request, error_from_dict, request_as_dict

log = logging.getLogger(__name__)

CANCELS = "wenlu:cancels"
MESSAGES_UNDER_WAY = 4
LINGER_S = 0.02
CALLS_PER_MESSAGE = {Priority.LIVE: 16, Priority.BULK: 1}
RESEND_AFTER_SHARE = 0.3
LOOK_EVERY_S = 1.0
TICK_S = 0.25
RETRY_S = 0.25

Row = dict[str, Any]


@dataclass(eq=False, slots=True)
class _Message:
    """A message under way; the window has room again once none of its calls is open."""

    priority: Priority
    open: int


@dataclass(eq=False, slots=True)
class _Waiting:
    """A call whose caller waits."""

    call: Call
    role: str
    priority: Priority
    began: float
    deadline: float
    future: Future[Row] = field(default_factory=Future)
    message: _Message | None = None
    sent_at: float = 0.0
    attempts: int = 0


class Dispatcher:
    """Sends calls over Celery and returns their replies. Made once a process (`shared_dispatcher`); safe for many threads."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.redis_url
        self._max_waiting = settings.remote_max_waiting
        self._app: Celery = make_app(settings)
        self._redis = redis.Redis.from_url(self._url, socket_timeout=2, socket_connect_timeout=2)
        self._changed = threading.Condition(threading.RLock())
        self._queued: dict[Priority, deque[_Waiting]] = {priority: deque() for priority in Priority}
        self._under_way = dict.fromkeys(Priority, 0)
        self._by_id: dict[str, _Waiting] = {}
        self._cancelled: list[str] = []
        self._workers: frozenset[str] = frozenset()
        self._looked_at = 0.0
        self._patient_until = 0.0
        self._closed = False
        self._reader = ChannelReader(
            self._url, f"wenlu:replies:{uuid.uuid4().hex}", on_message=self._receive, on_reconnect=self._begin_again
        )
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def submit(self, role: str, body: JSONDict, *, priority: Priority, timeout_s: float) -> Future[Row]:
        """The reply to come, as JSON; cancelling the future drops the work too.

        Raises Overloaded at once where too much waits. The future raises ModelUnavailable, DeadlineExceeded or what the
        worker raised, at the latest when `timeout_s` is over.
        """
        call = Call(id=uuid.uuid4().hex, body=body, deadline_at=time.time() + timeout_s)
        now = time.monotonic()
        entry = _Waiting(call, role, priority, now, now + timeout_s)
        with self._changed:
            self._refuse(priority)
            self._by_id[call.id] = entry
            self._queued[priority].append(entry)
            REMOTE_WAITING.set(len(self._by_id))
            self._changed.notify()
        entry.future.add_done_callback(lambda future: self._abandon(entry) if future.cancelled() else None)
        return entry.future

    def close(self) -> None:
        """Ends both threads; who waits gets ModelUnavailable. Can be called twice."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            left = list(self._by_id.values())
            self._changed.notify()
        for entry in left:
            self._fail(entry, ModelUnavailable("This process is shutting down."))
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        self._reader.close()
        self._redis.close()
        self._app.close()

    @property
    def is_closed(self) -> bool:
        """Whether it serves nobody any more."""
        return self._closed

    def _refuse(self, priority: Priority) -> None:
        if self._closed:
            raise ModelUnavailable("This process is shutting down.")
        waiting = len(self._by_id)
        if waiting >= self._max_waiting:
            raise Overloaded(
                f"{waiting} requests wait for inference workers already.", retry_after_s=1.0 if priority is Priority.LIVE else 5.0
            )

    # the sender's thread

    def _run(self) -> None:
        while not self._closed:
            try:
                self._send_next()
                self._look_after()
            except (OperationalError, redis.RedisError, OSError) as error:
                log.warning("broker unreachable error=%r", error)
                self._expire()
                time.sleep(RETRY_S)

    def _send_next(self) -> None:
        """Waits for something to do, then sends at most one message and the cancellations."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._cancelled or self._next_priority() is not None, self._patience())
            cancelled, self._cancelled = self._cancelled, []
        if cancelled:
            self._redis.publish(CANCELS, orjson.dumps(cancelled))
        if self._by_id and not self._reader.wait_until_ready(RETRY_S):
            raise redis.ConnectionError("replies cannot be heard yet")
        if not self._workers and self._by_id:
            self._look_for_workers()
        with self._changed:
            batch = self._take()
        if batch:
            self._send(batch)

    def _patience(self) -> float | None:
        """How long to wait for something new: for ever where nobody waits for anything."""
        if self._queued[Priority.LIVE]:
            return LINGER_S
        return TICK_S if self._by_id else None

    def _next_priority(self) -> Priority | None:
        """Whose turn it is to be sent, if the window has room; a person's call waits for room no longer than `LINGER_S`."""
        live = self._queued[Priority.LIVE]
        if live and (self._under_way[Priority.LIVE] < MESSAGES_UNDER_WAY or time.monotonic() - live[0].began >= LINGER_S):
            return Priority.LIVE
        if self._queued[Priority.BULK] and self._under_way[Priority.BULK] < MESSAGES_UNDER_WAY:
            return Priority.BULK
        return None

    def _take(self) -> list[_Waiting]:
        """The calls of the next message, all of one role."""
        priority = self._next_priority()
        if priority is None:
            return []
        queue = self._queued[priority]
        batch: list[_Waiting] = []
        while queue and len(batch) < CALLS_PER_MESSAGE[priority] and (not batch or queue[0].role == batch[0].role):
            entry = queue.popleft()
            if not entry.future.done():
                batch.append(entry)
        if batch:
            message = _Message(priority, len(batch))
            self._under_way[priority] += 1
            for entry in batch:
                entry.message, entry.sent_at, entry.attempts = message, time.monotonic(), entry.attempts + 1
        return batch

    def _send(self, batch: list[_Waiting]) -> None:
        first = batch[0]
        request = Request(
            role=first.role, reply_to=self._reader.channel, priority=first.priority, calls=tuple(entry.call for entry in batch)
        )
        try:
            self._app.send_task(
                TASK,
                (request_as_dict(request),),
                queue=queue_name(first.role, first.priority),
                retry=False,
                ignore_result=True,
                argsrepr="()",
                kwargsrepr="{}",
            )
        except BaseException:
            for entry in reversed(batch):
                entry.attempts -= 1
                self._requeue(entry)
            raise

    def _look_after(self) -> None:
        """Once a second while anybody waits: fails what is too late, sends again what may be lost."""
        if self._by_id and time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._expire()
            self._look_for_workers()
            self._resend(lambda entry, now: now - entry.sent_at > RESEND_AFTER_SHARE * (entry.deadline - entry.began), "late")

    def _look_for_workers(self) -> None:
        before = self._workers
        self._workers = frozenset(worker.id for worker in read_workers(self._redis))
        now = self._looked_at = time.monotonic()
        if before - self._workers:
            self._resend(lambda entry, now: True, "worker gone")
        if not self._workers and now > self._patient_until:
            for entry in self._entries():
                self._fail(entry, ModelUnavailable("No inference worker is alive. Start one, or look at why it ended."))

    def _expire(self) -> None:
        now = time.monotonic()
        for entry in self._entries():
            if now >= entry.deadline:
                self._fail(entry, self._too_late(entry))

    def _too_late(self, entry: _Waiting) -> QAError:
        if entry.attempts == 0:
            return ModelUnavailable("The inference workers could not be reached within the deadline.")
        return DeadlineExceeded("The inference workers did not answer within the deadline.")

    # the reader's thread

    def _receive(self, payload: bytes) -> None:
        for row in orjson.loads(payload):
            entry = self._by_id.get(row["id"])
            if entry is None:
                continue
            failure = row.get("error")
            if failure is None:
                self._succeed(entry, row)
            elif not self._will_try_again(entry, failure):
                self._fail(entry, error_from_dict(failure))

    def _will_try_again(self, entry: _Waiting, failure: Row) -> bool:
        """A dead model's call goes to another worker, once; an import waits until the workers have time for it."""
        if failure["code"] == ModelUnavailable.code and entry.attempts < 2:
            self._requeue(entry)
            return True
        if failure["code"] == Overloaded.code and entry.priority is Priority.BULK:
            with self._changed:
                self._release(entry)
                entry.attempts -= 1
            timer = threading.Timer(float(failure["details"].get("retry_after_s", 1.0)), self._queue, (entry,))
            timer.daemon = True
            timer.start()
            return True
        return False

    def _begin_again(self) -> None:
        """Redis is back: it may have forgotten messages, replies and, for a heartbeat, the workers."""
        self._patient_until = time.monotonic() + ALIVE_S
        self._resend(lambda entry, now: True, "redis restarted")

    # both

    def _resend(self, is_due: Callable[[_Waiting, float], bool], reason: str) -> None:
        now = time.monotonic()
        for entry in self._entries():
            if entry.attempts == 1 and is_due(entry, now) and self._requeue(entry):
                REMOTE_RESENT.labels(reason).inc()

    def _requeue(self, entry: _Waiting) -> bool:
        """Queues again what is under way."""
        with self._changed:
            if entry.message is None:
                return False
            self._release(entry)
            self._queue(entry)
        return True

    def _queue(self, entry: _Waiting) -> None:
        with self._changed:
            if not entry.future.done():
                self._queued[entry.priority].appendleft(entry)
                self._changed.notify()

    def _release(self, entry: _Waiting) -> None:
        """The entry is under way no more."""
        message, entry.message = entry.message, None
        if message is not None:
            message.open -= 1
            if message.open == 0:
                self._under_way[message.priority] -= 1
                self._changed.notify()

    def _entries(self) -> list[_Waiting]:
        with self._changed:
            return list(self._by_id.values())

    def _forget(self, entry: _Waiting) -> None:
        with self._changed:
            if self._by_id.pop(entry.call.id, None) is not None:
                self._release(entry)
                REMOTE_WAITING.set(len(self._by_id))

    def _succeed(self, entry: _Waiting, row: Row) -> None:
        self._forget(entry)
        REMOTE_SECONDS.labels(entry.role, entry.priority.name.lower()).observe(time.monotonic() - entry.began)
        try:
            entry.future.set_result(row)
        except InvalidStateError:
            return  # cancelled meanwhile

    def _fail(self, entry: _Waiting, error: QAError) -> None:
        self._forget(entry)
        try:
            entry.future.set_exception(error)
        except InvalidStateError:
            return  # as above

    def _abandon(self, entry: _Waiting) -> None:
        """Nobody waits for the call any more; a worker that has it drops it."""
        was_sent = entry.attempts > 0
        self._forget(entry)
        with self._changed:
            if was_sent and not self._closed:
                self._cancelled.append(entry.call.id)
                self._changed.notify()


_shared: Dispatcher | None = None
_lock = threading.Lock()


def shared_dispatcher() -> Dispatcher:
    """The process's dispatcher; a new one where the last was closed."""
    global _shared
    with _lock:
        if _shared is None or _shared.is_closed:
            _shared = Dispatcher(get_settings())
        return _shared


def result_of(future: Future[Row], timeout_s: float) -> Row:
    """The reply; the caller's own clock has the last word. Raises as the future does, DeadlineExceeded when time is over."""
    try:
        return future.result(timeout_s + 2 * TICK_S)
    except TimeoutError as error:
        future.cancel()
        raise DeadlineExceeded("The inference workers did not answer within the deadline.") from error
