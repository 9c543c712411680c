"""Which calls wait for a model, and which of them go next? People before imports, the oldest first, none that is cancelled or too late."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from core.errors import Cancelled, DeadlineExceeded, QAError
from core.metrics import BATCH_DROPPED, BATCH_WAITING
from core.types import Priority
from workers.batch_choice import choose_batch
from workers.batch_limits import Limits

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 512
LIVE_BATCHES_PER_BULK = 8


@dataclass(eq=False, slots=True)
class Call(Generic[Item, Result]):
    """One call that waits for its result. `deadline` is on `time.monotonic()`'s clock."""

    item: Item
    tokens: int
    priority: Priority = Priority.LIVE
    deadline: float | None = None
    cancel: threading.Event | None = None
    future: Future[Result] = field(default_factory=Future)

    def reason_to_drop(self, now: float) -> QAError | None:
        """Why it is not worth running any more."""
        if self.cancel is not None and self.cancel.is_set():
            return Cancelled("The work was cancelled before the model began it.")
        if self.deadline is not None and now >= self.deadline:
            return DeadlineExceeded("The model was too busy to begin this within its deadline.")
        return None

    def succeed(self, result: Result) -> None:
        """Gives the caller the result."""
        try:
            self.future.set_result(result)
        except InvalidStateError:
            return  # answered already: cancelled by its caller, or the batcher was closed meanwhile

    def fail(self, error: QAError) -> None:
        """Gives the caller an error."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return  # as above


class BatchQueue(Generic[Item, Result]):
    """The calls that wait for one model, by priority. It does not lock: its batcher does. `name` labels metrics."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name, self._limits = name, limits
        self._waiting: dict[Priority, deque[Call[Item, Result]]] = {priority: deque() for priority in Priority}
        self._live_in_a_row = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def waiting(self, priority: Priority) -> int:
        """How many calls of the priority wait."""
        return len(self._waiting[priority])

    def is_full(self, priority: Priority) -> bool:
        """Whether no further call of the priority may wait."""
        return self.waiting(priority) >= self._limits.max_waiting

    def add(self, call: Call[Item, Result]) -> None:
        """Has the call wait."""
        self._waiting[call.priority].append(call)
        self._count_waiting()

    def take_batch(self) -> list[Call[Item, Result]]:
        """Takes the next batch; calls that are cancelled or too late are answered and left out."""
        self._drop_stale()
        priority = self._next_priority()
        queue = self._waiting[priority]
        window = list(islice(queue, WINDOW))
        batch = choose_batch(window, self._limits.max_tokens, lambda call: call.tokens, max_padding=self._limits.max_padding)
        chosen = set(map(id, batch))
        self._waiting[priority] = deque(call for call in queue if id(call) not in chosen)
        self._count_waiting()
        return batch

    def take_all(self) -> list[Call[Item, Result]]:
        """Takes whatever waits."""
        left = [call for queue in self._waiting.values() for call in queue]
        for queue in self._waiting.values():
            queue.clear()
        self._count_waiting()
        return left

    def count_dropped(self, reason: str) -> None:
        """Counts a call that is answered without the model."""
        BATCH_DROPPED.labels(self._name, reason).inc()

    def _next_priority(self) -> Priority:
        bulk_waits = bool(self._waiting[Priority.BULK])
        if not self._waiting[Priority.LIVE] or (bulk_waits and self._live_in_a_row >= LIVE_BATCHES_PER_BULK):
            self._live_in_a_row = 0
            return Priority.BULK
        self._live_in_a_row += 1
        return Priority.LIVE

    def _drop_stale(self) -> None:
        now = time.monotonic()
        for priority, queue in self._waiting.items():
            kept: deque[Call[Item, Result]] = deque()
            for call in queue:
                if call.future.cancelled():
                    self.count_dropped("cancelled")
                elif reason := call.reason_to_drop(now):
                    self.count_dropped(reason.code)
                    call.fail(reason)
                else:
                    kept.append(call)
            self._waiting[priority] = kept

    def _count_waiting(self) -> None:
        BATCH_WAITING.labels(self._name).set(len(self))
