"""How concurrent calls share forward passes: one queue and one loop before every model.

Take what waits as soon as the model is free; linger only when the last batch had company; bound batches by padded tokens;
the oldest always goes. The design follows text-embeddings-inference's queue, with deadlines, cancelling and bisection.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from core.cores import running_models
from core.errors import Cancelled, DeadlineExceeded, InferenceFailed, ModelUnavailable, Overloaded, QAError
from core.metrics import BATCH_DROPPED, BATCH_SECONDS, BATCH_WAITING, BATCHED_TEXTS, BATCHES
from core.types import Priority
from workers.batch_choice import choose_batch
from workers.batch_limits import Limits

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 512
LIVE_BATCHES_PER_BULK = 8


@dataclass(eq=False, slots=True)
class _Entry(Generic[Item, Result]):
    """One call that waits for its result."""

    item: Item
    tokens: int
    priority: Priority
    deadline: float | None
    cancel: threading.Event | None
    future: Future[Result] = field(default_factory=Future)

    def reason_to_drop(self, now: float) -> QAError | None:
        if self.cancel is not None and self.cancel.is_set():
            return Cancelled("The work was cancelled before the model began it.")
        if self.deadline is not None and now >= self.deadline:
            return DeadlineExceeded("The model was too busy to begin this within its deadline.")
        return None


class Batcher(Generic[Item, Result]):
    """Runs `run(items) -> results` on batches, one at a time. `cost(item)` is its tokens.

    `is_device_lost(error)` tells an error that no later batch can survive from one that an input causes. `name` labels
    metrics. With `inline` a lonely `call` runs in its caller's thread, which saves two thread switches.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        name: str,
        cost: Callable[[Item], int],
        limits: Limits | None = None,
        is_device_lost: Callable[[BaseException], bool] = lambda error: False,
        inline: bool = False,
    ) -> None:
        self._run = run
        self._name = name
        self._cost = cost
        self._limits = limits or Limits()
        self._is_device_lost = is_device_lost
        self._inline = inline
        self._waiting: dict[Priority, deque[_Entry[Item, Result]]] = {priority: deque() for priority in Priority}
        self._changed = threading.Condition()
        self._model = threading.Lock()
        self._last_size = 0
        self._last_seconds = 0.0
        self._live_in_a_row = 0
        self._ended: ModelUnavailable | None = None
        self._thread = threading.Thread(target=self._loop, name=f"batcher-{name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        item: Item,
        *,
        priority: Priority = Priority.LIVE,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
    ) -> Future[Result]:
        """The result to come. `deadline` is on `time.monotonic()`'s clock; cancelling the future drops the work as well.

        Raises Overloaded at once where the queue is full, ModelUnavailable where the batcher has ended. The future raises
        Cancelled, DeadlineExceeded, InferenceFailed or ModelUnavailable.
        """
        entry: _Entry[Item, Result] = _Entry(item, self._cost(item), priority, deadline, cancel)
        with self._changed:
            self._refuse_if_ended()
            if len(self._waiting[priority]) >= self._limits.max_waiting:
                raise self._overloaded(priority)
            self._waiting[priority].append(entry)
            self._count_waiting()
            self._changed.notify_all()
        return entry.future

    def call(self, item: Item) -> Result:
        """The result of one live item; blocks. Raises as `submit` and its future do."""
        if self._inline and self._is_alone() and self._model.acquire(blocking=False):
            entry: _Entry[Item, Result] = _Entry(item, self._cost(item), Priority.LIVE, None, None)
            try:
                self._answer([entry])
            finally:
                self._model.release()
            return entry.future.result()
        return self.submit(item).result()

    def close(self) -> None:
        """Ends the loop after the batch that runs; everyone who waits gets ModelUnavailable. Can be called twice."""
        self._end(ModelUnavailable(f"The model {self._name} was shut down."))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def waiting(self) -> int:
        """How many items wait for a batch."""
        return sum(map(len, self._waiting.values()))

    def _loop(self) -> None:
        with running_models():
            self._serve()

    def _serve(self) -> None:
        try:
            while self._wait_for_work():
                with self._model:
                    if batch := self._next_batch():
                        self._answer(batch)
        except BaseException as error:  # the loop's last words: without them every later caller would wait for ever
            self._end(ModelUnavailable(f"The batcher of {self._name} failed: {error!r}. Restart the process."))
            raise

    def _wait_for_work(self) -> bool:
        """True once something waits, after lingering for company; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended is not None or self.waiting() > 0)
            if self._last_size > 1 and self._limits.linger_s:
                self._changed.wait_for(lambda: self._ended is not None or self.waiting() >= self._last_size, self._limits.linger_s)
            return self._ended is None

    def _next_batch(self) -> list[_Entry[Item, Result]]:
        """Takes the next batch out of the queue; those cancelled or too late are answered and left out."""
        with self._changed:
            self._drop_stale()
            priority = self._next_priority()
            queue = self._waiting[priority]
            window = list(islice(queue, WINDOW))
            batch = choose_batch(window, self._limits.max_tokens, lambda entry: entry.tokens, max_padding=self._limits.max_padding)
            chosen = set(map(id, batch))
            self._waiting[priority] = deque(entry for entry in queue if id(entry) not in chosen)
            self._count_waiting()
        return [entry for entry in batch if entry.future.set_running_or_notify_cancel()]

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
            kept: deque[_Entry[Item, Result]] = deque()
            for entry in queue:
                if entry.future.cancelled():
                    self._count_dropped("cancelled")
                elif reason := entry.reason_to_drop(now):
                    self._count_dropped(reason.code)
                    _fail(entry, reason)
                else:
                    kept.append(entry)
            self._waiting[priority] = kept

    def _answer(self, batch: list[_Entry[Item, Result]]) -> None:
        """Runs one batch and gives each entry its result or its error; ends the batcher where the device is lost."""
        started = time.monotonic()
        reason = f"The model {self._name} stopped while it ran this."
        try:
            self._run_or_bisect(batch)
        except ModelUnavailable as error:
            reason = error.message
            self._end(error)
        finally:
            for entry in batch:
                if not entry.future.done():
                    _fail(entry, ModelUnavailable(reason))
        self._last_size, self._last_seconds = len(batch), time.monotonic() - started

    def _run_or_bisect(self, batch: list[_Entry[Item, Result]]) -> None:
        """A batch that fails is run in halves, so that only the items at fault fail. Raises ModelUnavailable."""
        try:
            results = self._run_measured([entry.item for entry in batch])
        except Exception as error:
            if self._is_device_lost(error):
                raise ModelUnavailable(f"The device of {self._name} failed: {error}. Restart the process.") from error
            if len(batch) == 1:
                failure = InferenceFailed(f"The model {self._name} failed on this input: {error}")
                failure.__cause__ = error
                _fail(batch[0], failure)
                return
            middle = len(batch) // 2
            self._run_or_bisect(batch[:middle])
            self._run_or_bisect(batch[middle:])
            return
        for entry, result in zip(batch, results, strict=True):
            _succeed(entry, result)

    def _run_measured(self, items: list[Item]) -> Sequence[Result]:
        with BATCH_SECONDS.labels(self._name).time():
            results = self._run(items)
        if len(results) != len(items):
            raise ValueError(f"{len(results)} results for {len(items)} items")
        BATCHES.labels(self._name).inc()
        BATCHED_TEXTS.labels(self._name).inc(len(items))
        return results

    def _end(self, reason: ModelUnavailable) -> None:
        with self._changed:
            self._ended = self._ended or reason
            left = [entry for queue in self._waiting.values() for entry in queue]
            for queue in self._waiting.values():
                queue.clear()
            self._count_waiting()
            self._changed.notify_all()
        for entry in left:
            _fail(entry, ModelUnavailable(reason.message))

    def _is_alone(self) -> bool:
        """Whether a live call has no company to share a batch with: nobody waits, and nobody shared the last one."""
        with self._changed:
            self._refuse_if_ended()
            return self._last_size <= 1 and not self._waiting[Priority.LIVE]

    def _refuse_if_ended(self) -> None:
        if self._ended is not None:
            raise ModelUnavailable(self._ended.message)

    def _overloaded(self, priority: Priority) -> Overloaded:
        """How long the queue will take at the speed of the last batch, between a tenth of a second and half a minute."""
        waiting = len(self._waiting[priority])
        seconds = waiting / max(1, self._last_size) * self._last_seconds
        self._count_dropped(Overloaded.code)
        return Overloaded(f"{waiting} texts wait for the model {self._name} already.", retry_after_s=round(min(30.0, max(0.1, seconds)), 1))

    def _count_waiting(self) -> None:
        BATCH_WAITING.labels(self._name).set(self.waiting())

    def _count_dropped(self, reason: str) -> None:
        BATCH_DROPPED.labels(self._name, reason).inc()


def submit_all(
    batcher: Batcher[Item, Result],
    items: Iterable[Item],
    *,
    priority: Priority,
    deadline: float | None = None,
    cancel: threading.Event | None = None,
) -> list[Future[Result]]:
    """The results to come of items that wait together. As `Batcher.submit`; where the queue fills up midway, none waits."""
    futures: list[Future[Result]] = []
    try:
        for item in items:
            futures.append(batcher.submit(item, priority=priority, deadline=deadline, cancel=cancel))
    except QAError:
        for future in futures:
            future.cancel()
        raise
    return futures


def results_of(futures: Iterable[Future[Result]]) -> list[Result]:
    """The results in order; the first error is raised after the rest of the work is cancelled."""
    pending = list(futures)
    try:
        return [future.result() for future in pending]
    except BaseException:
        for future in pending:
            future.cancel()
        raise


def _succeed(entry: _Entry[Item, Result], result: Result) -> None:
    try:
        entry.future.set_result(result)
    except InvalidStateError:
        return  # answered already: cancelled by its caller, or the batcher was closed meanwhile


def _fail(entry: _Entry[Item, Result], error: QAError) -> None:
    try:
        entry.future.set_exception(error)
    except InvalidStateError:
        return  # as above
