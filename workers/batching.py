"""How concurrent calls share forward passes: one queue and one loop before every model.

Take what waits as soon as the model is free; linger only when the last batch had company; bound batches by padded tokens;
the oldest always goes. The design follows text-embeddings-inference's queue, with deadlines, cancelling and bisection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from core.cores import running_models
from core.errors import InferenceFailed, ModelUnavailable, Overloaded, QAError
from core.metrics import BATCH_SECONDS, BATCHED_TEXTS, BATCHES
from core.types import Priority
from workers.batch_limits import Limits
from workers.batch_queue import BatchQueue, Call

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        self._queue: BatchQueue[Item, Result] = BatchQueue(name, self._limits)
        self._changed = threading.Condition()
        self._model = threading.Lock()
        self._last_size = 0
        self._last_seconds = 0.0
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
        call: Call[Item, Result] = Call(item, self._cost(item), priority, deadline, cancel)
        with self._changed:
            self._refuse_if_ended()
            if self._queue.is_full(priority):
                raise self._overloaded(priority)
            self._queue.add(call)
            self._changed.notify_all()
        return call.future

    def call(self, item: Item) -> Result:
        """The result of one live item; blocks. Raises as `submit` and its future do."""
        if self._inline and self._is_alone() and self._model.acquire(blocking=False):
            call: Call[Item, Result] = Call(item, self._cost(item))
            try:
                self._answer([call])
            finally:
                self._model.release()
            return call.future.result()
        return self.submit(item).result()

    def close(self) -> None:
        """Ends the loop after the batch that runs; everyone who waits gets ModelUnavailable. Can be called twice."""
        self._end(ModelUnavailable(f"The model {self._name} was shut down."))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def waiting(self) -> int:
        """How many items wait for a batch."""
        return len(self._queue)

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

    def _next_batch(self) -> list[Call[Item, Result]]:
        with self._changed:
            batch = self._queue.take_batch()
        return [call for call in batch if call.future.set_running_or_notify_cancel()]

    def _answer(self, batch: list[Call[Item, Result]]) -> None:
        """Runs one batch and gives each call its result or its error; ends the batcher where the device is lost."""
        started = time.monotonic()
        reason = f"The model {self._name} stopped while it ran this."
        try:
            self._run_or_bisect(batch)
        except ModelUnavailable as error:
            reason = error.message
            self._end(error)
        finally:
            for call in batch:
                if not call.future.done():
                    call.fail(ModelUnavailable(reason))
        self._last_size, self._last_seconds = len(batch), time.monotonic() - started

    def _run_or_bisect(self, batch: list[Call[Item, Result]]) -> None:
        """A batch that fails is run in halves, so that only the items at fault fail. Raises ModelUnavailable."""
        try:
            results = self._run_measured([call.item for call in batch])
        except Exception as error:
            if self._is_device_lost(error):
                raise ModelUnavailable(f"The device of {self._name} failed: {error}. Restart the process.") from error
            if len(batch) == 1:
                failure = InferenceFailed(f"The model {self._name} failed on this input: {error}")
                failure.__cause__ = error
                batch[0].fail(failure)
                return
            middle = len(batch) // 2
            self._run_or_bisect(batch[:middle])
            self._run_or_bisect(batch[middle:])
            return
        for call, result in zip(batch, results, strict=True):
            call.succeed(result)

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
            left = self._queue.take_all()
            self._changed.notify_all()
        for call in left:
            call.fail(ModelUnavailable(reason.message))

    def _is_alone(self) -> bool:
        """Whether a live call has no company to share a batch with: nobody waits, and nobody shared the last one."""
        with self._changed:
            self._refuse_if_ended()
            return self._last_size <= 1 and not self._queue.waiting(Priority.LIVE)

    def _refuse_if_ended(self) -> None:
        if self._ended is not None:
            raise ModelUnavailable(self._ended.message)

    def _overloaded(self, priority: Priority) -> Overloaded:
        """How long the queue will take at the speed of the last batch, between a tenth of a second and half a minute."""
        waiting = self._queue.waiting(priority)
        seconds = waiting / max(1, self._last_size) * self._last_seconds
        self._queue.count_dropped(Overloaded.code)
        return Overloaded(f"{waiting} texts wait for the model {self._name} already.", retry_after_s=round(min(30.0, max(0.1, seconds)), 1))


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
