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

from core.errors import ModelUnavailable, Overloaded
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
    """A call whose caller waits. Times are on `time.monotonic()`'s clock; `attempts` counts the messages that it went in."""

    call: Call
    role: str
    priority: Priority
    began: float
    deadline: float
    future: Future[Row] = field(default_factory=Future)
    message: _Message | None = None
    sent_at: float = 0.0
    attempts: int = 0


class Outbox:
    """Safe for many threads: callers add, one sender takes, one reader settles."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition(threading.RLock())
        self._queued: dict[Priority, deque[Waiting]] = {priority: deque() for priority in Priority}
        self._under_way = dict.fromkeys(Priority, 0)
        self._by_id: dict[str, Waiting] = {}
        self._cancelled: list[str] = []
        self._closed = False

    def add(self, entry: Waiting) -> None:
        """Queues a new call. Raises Overloaded where too many wait, ModelUnavailable after `close`."""
        with self._changed:
            if self._closed:
                raise ModelUnavailable("This process is shutting down.")
            if len(self._by_id) >= self._max_waiting:
                raise Overloaded(
                    f"{len(self._by_id)} requests wait for inference workers already.", retry_after_s=RETRY_AFTER_S[entry.priority]
                )
            self._by_id[entry.call.id] = entry
            self._queue(entry)
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
            self._changed.wait_for(lambda: self._closed or self._cancelled or self._next_priority() is not None, self._patience_s())
            cancelled, self._cancelled = self._cancelled, []
        return cancelled

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
            if not self.recall(entry, counts=counts):
                return False
            self.queue_again(entry)
        return True

    def recall(self, entry: Waiting, *, counts: bool = True) -> bool:
        """A call is under way no more, but still waits: `queue_again` follows."""
        with self._changed:
            if entry.message is None:
                return False
            self._release(entry)
            entry.attempts -= not counts
        return True

    def queue_again(self, entry: Waiting) -> None:
        """Puts a call that was recalled at the head of the queue."""
        with self._changed:
            if not entry.future.done():
                self._queued[entry.priority].appendleft(entry)
                self._changed.notify()

    def forget(self, entry: Waiting, *, cancelled: bool = False) -> None:
        """The call was answered, or its caller gave up; then a worker that may have it is told."""
        with self._changed:
            if self._by_id.pop(entry.call.id, None) is None:
                return
            self._release(entry)
            REMOTE_WAITING.set(len(self._by_id))
            if cancelled and entry.attempts:
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

    def _queue(self, entry: Waiting) -> None:
        self._queued[entry.priority].append(entry)
        self._changed.notify()

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
