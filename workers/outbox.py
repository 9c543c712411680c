"""Which calls wait, which are under way, and which go together in the next message.

A few messages are under way at a time; what comes meanwhile goes together in the next (Nagle's algorithm, bounded in
time). So the broker's cost a message is shared just when there is much to do, and a lonely call never waits for company.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from core.errors import ModelUnavailable, Overloaded, QAError
from core.metrics import REMOTE_WAITING
from core.types import Priority
from workers.wire import Call

MESSAGES_UNDER_WAY = 4
LINGER_S = 0.02
TICK_S = 0.25
CALLS_PER_MESSAGE = {Priority.LIVE: 16, Priority.BULK: 1}
RETRY_AFTER_S = {Priority.LIVE: 1.0, Priority.BULK: 5.0}

Row = dict[str, Any]


@dataclass(eq=False, slots=True)
class _Message:
    """A message under way; the window has room again once none of its calls is open."""

    priority: Priority
    open: int


@dataclass(eq=False, slots=True)
class Waiting:
    """A call whose caller waits. Times are on `time.monotonic()`'s clock; `attempts` counts the messages that it went in.

    `given_back` counts those whose worker could not do it; `refusal` is what the last of them said that had no time for it, and
    it is not sent again before `not_before`.
    """

    call: Call
    role: str
    priority: Priority
    began: float
    deadline: float
    future: Future[Row] = field(default_factory=Future)
    message: _Message | None = None
    sent_at: float = 0.0
    attempts: int = 0
    given_back: int = 0
    refusal: QAError | None = None
    not_before: float = 0.0


class Outbox:
    """Safe for many threads: callers add, one sender takes, one reader settles."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition(threading.RLock())
        self._queued: dict[Priority, deque[Waiting]] = {priority: deque() for priority in Priority}
        self._under_way = dict.fromkeys(Priority, 0)
        self._waiting = dict.fromkeys(Priority, 0)
        self._resting: list[Waiting] = []
        self._by_id: dict[str, Waiting] = {}
        self._cancelled: list[str] = []
        self._closed = False

    def add(self, entry: Waiting) -> None:
        """Queues a new call. Raises Overloaded where too many wait, ModelUnavailable after `close`."""
        with self._changed:
            if self._closed:
                raise ModelUnavailable("This process is shutting down.")
            waiting = self._waiting[entry.priority]
            if waiting >= self._max_waiting:
                raise Overloaded(f"{waiting} requests wait for inference workers already.", retry_after_s=RETRY_AFTER_S[entry.priority])
            self._by_id[entry.call.id] = entry
            self._waiting[entry.priority] += 1
            self._queued[entry.priority].append(entry)
            self._changed.notify()
            REMOTE_WAITING.set(len(self._by_id))

    def close(self) -> list[Waiting]:
        """Takes no more calls and wakes the sender. Returns who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            return list(self._by_id.values())

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def wait_for_work(self) -> list[str]:
        """For the sender: returns when a message can go, someone gave up, or it is time to look after those who wait.

        Returns the ids of calls that were sent and that nobody waits for any more.
        """
        with self._changed:
            self._wake_rested()
            self._changed.wait_for(lambda: self._closed or self._cancelled or self._next_priority() is not None, self._patience_s())
            cancelled, self._cancelled = self._cancelled, []
        return cancelled

    def next_role(self) -> str | None:
        """The role of the next message; None where nothing can go."""
        with self._changed:
            priority = self._next_priority()
            return None if priority is None else self._queued[priority][0].role

    def take(self) -> list[Waiting]:
        """The calls of the next message, all of one role and priority; none where nothing can go."""
        with self._changed:
            priority = self._next_priority()
            if priority is None:
                return []
            queue, batch = self._queued[priority], list[Waiting]()
            while queue and len(batch) < CALLS_PER_MESSAGE[priority] and (not batch or queue[0].role == batch[0].role):
                entry = queue.popleft()
                if not entry.future.done():
                    batch.append(entry)
            if batch:
                self._send_off(batch, priority)
            return batch

    def send_again(self, entry: Waiting, *, counts: bool = True) -> bool:
        """Puts a call that is under way at the head of the queue; False where it is not. Its message does not count where it never left."""
        with self._changed:
            if entry.message is None:
                return False
            self._release(entry)
            entry.attempts -= not counts
            self._put_first(entry)
        return True

    def give_back(self, entry: Waiting) -> bool:
        """A worker could not do the call. Returns whether another copy of it is queued, or with another worker."""
        with self._changed:
            entry.given_back += 1
            return entry.message is None or entry.given_back < entry.attempts

    def send_later(self, entry: Waiting, refusal: QAError) -> bool:
        """Puts a call that its worker had no time for at the head of the queue once `retry_after_s` is over; False where it is not under way."""
        with self._changed:
            if entry.message is None:
                return False
            self._release(entry)
            entry.attempts = entry.given_back = 0
            entry.refusal = refusal
            entry.not_before = time.monotonic() + float(str(refusal.details.get("retry_after_s", RETRY_AFTER_S[entry.priority])))
            self._resting.append(entry)
        return True

    def forget(self, entry: Waiting, *, cancelled: bool = False) -> None:
        """The call was answered, or its caller gave up. A worker that may have it, or a second copy of it, is told."""
        with self._changed:
            if self._by_id.pop(entry.call.id, None) is None:
                return
            self._release(entry)
            self._waiting[entry.priority] -= 1
            REMOTE_WAITING.set(len(self._by_id))
            if entry.attempts > (0 if cancelled else 1):
                self._cancelled.append(entry.call.id)
                self._changed.notify()

    def find(self, call_id: str) -> Waiting | None:
        """The call, if somebody still waits for it."""
        return self._by_id.get(call_id)

    def everyone(self) -> list[Waiting]:
        """All calls that somebody waits for."""
        with self._changed:
            return list(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def _put_first(self, entry: Waiting) -> None:
        if not entry.future.done():
            self._queued[entry.priority].appendleft(entry)
            self._changed.notify()

    def _wake_rested(self) -> None:
        """Queues the calls that have waited as long as a worker asked for."""
        now = time.monotonic()
        resting, self._resting = self._resting, []
        for entry in resting:
            if entry.not_before > now:
                self._resting.append(entry)
            else:
                self._put_first(entry)

    def _patience_s(self) -> float | None:
        """How long to wait for something new: for ever where nobody waits for anything."""
        if self._queued[Priority.LIVE]:
            return LINGER_S
        return TICK_S if self._by_id else None

    def _next_priority(self) -> Priority | None:
        """Whose message goes next, if the window has room; a person's call waits for room no longer than `LINGER_S`."""
        live = self._queued[Priority.LIVE]
        if live and (self._under_way[Priority.LIVE] < MESSAGES_UNDER_WAY or time.monotonic() - live[0].began >= LINGER_S):
            return Priority.LIVE
        if self._queued[Priority.BULK] and self._under_way[Priority.BULK] < MESSAGES_UNDER_WAY:
            return Priority.BULK
        return None

    def _send_off(self, batch: list[Waiting], priority: Priority) -> None:
        message = _Message(priority, len(batch))
        self._under_way[priority] += 1
        for entry in batch:
            entry.message, entry.sent_at, entry.attempts = message, time.monotonic(), entry.attempts + 1

    def _release(self, entry: Waiting) -> None:
        message, entry.message = entry.message, None
        if message is not None:
            message.open -= 1
            if message.open == 0:
                self._under_way[message.priority] -= 1
                self._changed.notify()
