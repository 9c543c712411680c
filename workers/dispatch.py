"""How this process's calls get to workers and back: one sender thread, one reader thread, futures matched by id.

An unanswered call is sent once more where its message may be lost: its worker is gone, Redis was, or a third of its time
is over. Nothing hangs: whatever happens, each future ends by its deadline.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial

import orjson
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from core.config import Settings, get_settings
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded, QAError
from core.metrics import REMOTE_RESENT, REMOTE_SECONDS
from core.types import JSONDict, Priority
from core.worker_registry import ALIVE_S, queue_name, read_workers
from workers.broker import TASK, make_app
from workers.outbox import TICK_S, Outbox, Row, Waiting
from workers.replies import ChannelReader
from workers.wire import Call, Request, request_as_dict
from workers.wire_errors import error_from_dict

log = logging.getLogger(__name__)

CANCELS = "wenlu:cancels"
RESEND_AFTER_SHARE = 0.3
LOOK_EVERY_S = 1.0
RETRY_S = 0.25


class Dispatcher:
    """Sends calls over Celery and returns their replies. One a process (`shared_dispatcher`); safe for many threads.

    `redis` is its client, for those who read more than replies.
    """

    def __init__(self, settings: Settings) -> None:
        self.redis_url = settings.redis_url
        self._app: Celery = make_app(settings)
        self.redis = redis.Redis.from_url(settings.redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._outbox = Outbox(settings.remote_max_waiting)
        self._workers: dict[str, tuple[str, ...]] = {}
        self._looked_at = 0.0
        self._patient_until = 0.0
        channel = f"wenlu:replies:{uuid.uuid4().hex}"
        self._reader = ChannelReader(settings.redis_url, channel, on_message=self._receive, on_reconnect=self._begin_again)
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def submit(self, role: str, body: JSONDict, *, priority: Priority, timeout_s: float) -> Future[Row]:
        """The reply to come, as JSON; cancelling the future drops the work too.

        Raises Overloaded at once where too much waits. The future raises ModelUnavailable, DeadlineExceeded or what the
        worker raised, at the latest when `timeout_s` is over.
        """
        call = Call(id=uuid.uuid4().hex, body=body, deadline_at=time.time() + timeout_s)
        now = time.monotonic()
        entry = Waiting(call, role, priority, now, now + timeout_s)
        self._outbox.add(entry)
        # by the call's id: the entry itself would make a cycle, in which its reply stays in memory until the next collection
        entry.future.add_done_callback(partial(self._withdraw, call.id))
        return entry.future

    def cancel(self, ids: Sequence[str]) -> None:
        """Tells the workers that listen just now that nobody waits for these any more."""
        with suppress(redis.RedisError):  # then they hear of it by the deadline
            self.redis.publish(CANCELS, orjson.dumps({"ids": list(ids), "at": time.time()}))

    def is_alive(self, *, host: str, pid: int) -> bool:
        """Whether this worker lives, as far as Redis knows."""
        try:
            return any((worker.host, worker.pid) == (host, pid) for worker in read_workers(self.redis))
        except redis.RedisError:
            return True

    def close(self) -> None:
        """Ends both threads; who waits gets ModelUnavailable. Can be called twice."""
        if self._outbox.is_closed:
            return
        for entry in self._outbox.close():
            self._fail(entry, ModelUnavailable("This process is shutting down."))
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        self._reader.close()
        self.redis.close()
        self._app.close()

    @property
    def is_closed(self) -> bool:
        """Whether it serves nobody any more."""
        return self._outbox.is_closed

    # in the sender's thread

    def _run(self) -> None:
        while not self._outbox.is_closed:
            try:
                self._send_next()
                self._look_after()
            except (OperationalError, redis.RedisError, OSError) as error:
                log.warning("broker unreachable error=%r", error)
                self._expire()
                time.sleep(RETRY_S)
            except Exception:  # a sender that died would leave every later call to its own clock
                log.exception("sender broke; it goes on")
                self._expire()
                time.sleep(RETRY_S)

    def _send_next(self) -> None:
        """Waits for something to do, then sends the cancellations and at most one message."""
        cancelled = self._outbox.wait_for_work()
        if cancelled:
            self.cancel(cancelled)
        if not self._outbox:
            return
        if not self._reader.wait_until_ready(RETRY_S):
            raise redis.ConnectionError("replies cannot be heard yet")
        role = self._outbox.next_role()
        if role is not None and role not in self._served():
            self._look_for_workers()  # a message that no worker takes would stay in Redis
        if batch := self._outbox.take():
            self._send(batch)

    def _send(self, batch: list[Waiting]) -> None:
        role, priority = batch[0].role, batch[0].priority
        request = Request(role=role, priority=priority, reply_to=self._reader.channel, calls=tuple(entry.call for entry in batch))
        queue = queue_name(role, priority)
        try:
            self._app.send_task(
                TASK, (request_as_dict(request),), queue=queue, retry=False, ignore_result=True, argsrepr="()", kwargsrepr="{}"
            )
        except BaseException:
            for entry in reversed(batch):
                self._outbox.send_again(entry, counts=False)
            raise

    def _look_after(self) -> None:
        """Once a second while anybody waits: fails what is too late, sends again what may be lost."""
        if self._outbox and time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._expire()
            self._look_for_workers()
            self._resend(lambda entry, now: now - entry.sent_at > RESEND_AFTER_SHARE * (entry.deadline - entry.began), "late")

    def _look_for_workers(self) -> None:
        before = self._workers
        self._workers = {worker.id: worker.roles for worker in read_workers(self.redis)}
        now = self._looked_at = time.monotonic()
        if before.keys() - self._workers.keys():
            self._resend(lambda entry, now: True, "worker gone")
        served = self._served()
        for entry in self._outbox.everyone() if now > self._patient_until else ():
            if entry.role not in served:
                self._fail(entry, _unserved(entry.role, alive=bool(self._workers)))

    def _served(self) -> set[str]:
        """The roles of the workers that were alive at the last look."""
        return {role for roles in self._workers.values() for role in roles}

    def _expire(self) -> None:
        now = time.monotonic()
        for entry in self._outbox.everyone():
            if now >= entry.deadline:
                self._fail(entry, _too_late(entry))

    # in the reader's thread

    def _receive(self, payload: bytes) -> None:
        for row in orjson.loads(payload):
            entry = self._outbox.find(row["id"])
            if entry is None:
                continue
            failure = row.get("error")
            if failure is None:
                self._succeed(entry, row)
            elif not self._will_try_again(entry, failure):
                self._fail(entry, error_from_dict(failure))

    def _will_try_again(self, entry: Waiting, failure: Row) -> bool:
        """A dead model's call goes to another worker, once; an import waits until the workers have time for it."""
        if failure["code"] not in (ModelUnavailable.code, Overloaded.code):
            return False
        if self._outbox.give_back(entry):
            return True
        if failure["code"] == ModelUnavailable.code:
            return entry.attempts == 1 and self._outbox.send_again(entry)
        return entry.priority is Priority.BULK and self._outbox.send_later(entry, error_from_dict(failure))

    def _begin_again(self) -> None:
        """Redis is back: it may have forgotten messages, replies and, for a heartbeat, the workers."""
        self._patient_until = time.monotonic() + ALIVE_S
        self._resend(lambda entry, now: True, "redis restarted")

    # in any

    def _withdraw(self, call_id: str, future: Future[Row]) -> None:
        """Nobody waits for a call that was cancelled."""
        entry = self._outbox.find(call_id)
        if entry is not None and future.cancelled():
            self._outbox.forget(entry, cancelled=True)

    def _resend(self, is_due: Callable[[Waiting, float], bool], reason: str) -> None:
        now = time.monotonic()
        for entry in self._outbox.everyone():
            if entry.attempts == 1 and is_due(entry, now) and self._outbox.send_again(entry):
                REMOTE_RESENT.labels(reason).inc()

    def _succeed(self, entry: Waiting, row: Row) -> None:
        self._outbox.forget(entry)
        REMOTE_SECONDS.labels(entry.role, entry.priority.name.lower()).observe(time.monotonic() - entry.began)
        try:
            entry.future.set_result(row)
        except InvalidStateError:
            return  # cancelled meanwhile

    def _fail(self, entry: Waiting, error: QAError) -> None:
        self._outbox.forget(entry)
        try:
            entry.future.set_exception(error)
        except InvalidStateError:
            return  # as above


_shared: Dispatcher | None = None
_lock = threading.Lock()


def shared_dispatcher() -> Dispatcher:
    """The process's dispatcher; a new one where the last was closed, or spoke with another Redis."""
    global _shared
    settings = get_settings()
    with _lock:
        if _shared is not None and _shared.redis_url != settings.redis_url:
            _shared.close()
        if _shared is None or _shared.is_closed:
            _shared = Dispatcher(settings)
        return _shared


def result_of(future: Future[Row], timeout_s: float) -> Row:
    """The reply; the caller's own clock has the last word. Raises as the future does, DeadlineExceeded when time is over."""
    try:
        return future.result(timeout_s + 2 * TICK_S)
    except TimeoutError as error:
        future.cancel()
        raise DeadlineExceeded("The inference workers did not answer within the deadline.") from error


def _unserved(role: str, *, alive: bool) -> QAError:
    if alive:
        return ModelUnavailable(f"No inference worker alive serves the role {role}: add it to QA_WORKER_ROLES of one.")
    return ModelUnavailable("No inference worker is alive. Start one, or look at why it ended.")


def _too_late(entry: Waiting) -> QAError:
    if entry.refusal is not None:
        return entry.refusal
    if entry.attempts == 0:
        return ModelUnavailable("The inference workers could not be reached within the deadline.")
    return DeadlineExceeded("The inference workers did not answer within the deadline.")
