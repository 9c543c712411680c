"""Scripted models stand behind the batcher: `Gate` holds a batch until a test lets it go, so every order is the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import pytest

from core.errors import Cancelled, DeadlineExceeded, InferenceFailed, ModelUnavailable, Overloaded
from core.metrics import BATCH_DROPPED
from core.types import Priority
from workers.batch_choice import choose_batch
from workers.batch_limits import Limits
from workers.batching import Batcher, results_of

WAIT_S = 10


class Gate:
    """A model that answers each text in upper case, one batch for each `open()`; `batches` is what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: list[str] = []
        self._entered = threading.Semaphore(0)
        self._go = threading.Semaphore(0)

    def run(self, texts: list[str]) -> Sequence[str]:
        self.batches.append(list(texts))
        self.threads.append(threading.current_thread().name)
        self._entered.release()
        assert self._go.acquire(timeout=WAIT_S)
        return [answer(text) for text in texts]

    def wait_until_running(self) -> None:
        assert self._entered.acquire(timeout=WAIT_S)

    def open(self, batches: int = 1) -> None:
        for _ in range(batches):
            self._go.release()


def answer(text: str) -> str:
    if "bad" in text:
        raise ValueError(f"cannot read {text}")
    if "lost" in text:
        raise RuntimeError("CUDA error: device-side assert triggered")
    return text.upper()


def answer_all(texts: list[str]) -> list[str]:
    return [answer(text) for text in texts]


Make = Callable[..., Batcher[str, str]]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Batcher[str, str]] = []

    def make_batcher(run: Callable[[list[str]], Sequence[str]], *, inline: bool = False, **limits: float) -> Batcher[str, str]:
        batcher = Batcher(
            run,
            name="test",
            cost=len,
            limits=Limits(**{"linger_s": 0.0, **limits}),  # type: ignore[arg-type]
            is_device_lost=lambda error: "CUDA error" in str(error),
            inline=inline,
        )
        made.append(batcher)
        return batcher

    yield make_batcher
    for batcher in made:
        batcher.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open(100)


def hold(batcher: Batcher[str, str], gate: Gate) -> Future[str]:
    """Occupies the model, so that whatever is submitted next waits."""
    first = batcher.submit("hold")
    gate.wait_until_running()
    return first


def test_what_waits_while_the_model_is_busy_goes_together(make: Make, gate: Gate) -> None:
    batcher = make(gate.run)
    hold(batcher, gate)
    futures = [batcher.submit(text) for text in ("a", "b", "c")]
    gate.open(2)
    assert results_of(futures) == ["A", "B", "C"]
    assert gate.batches == [["hold"], ["a", "b", "c"]]


def test_a_batch_is_bounded_by_padded_tokens(make: Make, gate: Gate) -> None:
    batcher = make(gate.run, max_tokens=9)
    hold(batcher, gate)
    futures = [batcher.submit(text * 3) for text in "abcd"]
    gate.open(3)
    results_of(futures)
    assert [len(batch) for batch in gate.batches] == [1, 3, 1]


def test_a_text_longer_than_the_bound_goes_alone(make: Make) -> None:
    assert make(answer_all, max_tokens=2).call("too long") == "TOO LONG"


def test_the_oldest_always_goes_and_takes_those_of_its_length_along() -> None:
    waiting = ["x" * 100, "a", "y" * 90, "b", "z" * 120]
    assert choose_batch(waiting, 360, len) == [waiting[0], waiting[2], waiting[4]]
    assert choose_batch(waiting[1:], 400, len) == ["a", "b"]


def test_at_most_half_of_a_large_batch_is_padding() -> None:
    waiting = ["a" * 10] * 20 + ["b" * 100]
    assert choose_batch(waiting, 8192, len) == waiting[:20]


def test_where_tokens_are_dear_a_batch_is_cut_by_length() -> None:
    waiting = ["a" * 20, "b" * 40] * 4
    assert len(choose_batch(waiting, 8192, len)) == 8
    assert choose_batch(waiting, 8192, len, max_padding=0.1) == waiting[::2]


def test_a_bad_text_fails_alone(make: Make, gate: Gate) -> None:
    batcher = make(gate.run)
    hold(batcher, gate)
    futures = [batcher.submit(text) for text in ("a", "b", "bad", "d", "e")]
    gate.open(100)
    with pytest.raises(InferenceFailed, match="cannot read bad"):
        futures[2].result(WAIT_S)
    assert [future.result(WAIT_S) for future in futures if future is not futures[2]] == ["A", "B", "D", "E"]


def test_a_model_that_loses_results_fails_its_texts(make: Make) -> None:
    with pytest.raises(InferenceFailed, match="0 results for 1 items"):
        make(lambda texts: []).call("a")


def test_a_full_queue_answers_at_once_and_says_when_to_come_back(make: Make, gate: Gate) -> None:
    batcher = make(gate.run, max_waiting=2)
    hold(batcher, gate)
    batcher.submit("a")
    batcher.submit("b")
    with pytest.raises(Overloaded) as refused:
        batcher.submit("c")
    assert 0.1 <= float(str(refused.value.details["retry_after_s"])) <= 30
    batcher.submit("bulk has room of its own", priority=Priority.BULK)


def test_cancelled_work_never_reaches_the_model(make: Make, gate: Gate) -> None:
    batcher, stop = make(gate.run), threading.Event()
    hold(batcher, gate)
    by_flag, by_future, kept = batcher.submit("flag", cancel=stop), batcher.submit("future"), batcher.submit("kept")
    stop.set()
    by_future.cancel()
    gate.open(2)
    assert kept.result(WAIT_S) == "KEPT"
    with pytest.raises(Cancelled):
        by_flag.result(WAIT_S)
    assert gate.batches == [["hold"], ["kept"]]


def test_work_past_its_deadline_never_reaches_the_model(make: Make, gate: Gate) -> None:
    batcher = make(gate.run)
    dropped = BATCH_DROPPED.labels("test", DeadlineExceeded.code)
    before = dropped._value.get()
    hold(batcher, gate)
    late, kept = batcher.submit("late", deadline=time.monotonic()), batcher.submit("kept", deadline=time.monotonic() + WAIT_S)
    gate.open(2)
    assert kept.result(WAIT_S) == "KEPT"
    with pytest.raises(DeadlineExceeded):
        late.result(WAIT_S)
    assert gate.batches == [["hold"], ["kept"]] and dropped._value.get() == before + 1


def test_people_go_before_imports(make: Make, gate: Gate) -> None:
    batcher = make(gate.run)
    hold(batcher, gate)
    bulk, live = batcher.submit("bulk", priority=Priority.BULK), batcher.submit("live")
    gate.open(3)
    results_of([bulk, live])
    assert gate.batches == [["hold"], ["live"], ["bulk"]]


def test_an_import_moves_on_even_while_people_keep_asking(make: Make, gate: Gate) -> None:
    batcher = make(gate.run, max_tokens=1)
    hold(batcher, gate)
    bulk = batcher.submit("i", priority=Priority.BULK)
    live = [batcher.submit("p") for _ in range(20)]
    gate.open(22)
    results_of([bulk, *live])
    assert ["i"] in gate.batches[1:11]


def test_a_lost_device_answers_every_waiter(make: Make, gate: Gate) -> None:
    batcher = make(gate.run)
    hold(batcher, gate)
    running = batcher.submit("lost")
    gate.open()
    gate.wait_until_running()
    waiting = [batcher.submit(text) for text in ("a", "b")]
    gate.open()
    for future in (running, *waiting):
        with pytest.raises(ModelUnavailable, match="CUDA error"):
            future.result(WAIT_S)
    with pytest.raises(ModelUnavailable):
        batcher.submit("later")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_breaks_tells_every_waiter(make: Make, gate: Gate) -> None:
    def run(texts: list[str]) -> Sequence[str]:
        gate.run(["x"])
        raise KeyboardInterrupt

    batcher = make(run)
    running = batcher.submit("a")
    gate.wait_until_running()
    waiting = batcher.submit("b")
    gate.open()
    for future in (running, waiting):
        with pytest.raises(ModelUnavailable):
            future.result(WAIT_S)
    with pytest.raises(ModelUnavailable, match="KeyboardInterrupt"):
        batcher.submit("later")


def test_closing_answers_everyone_and_lets_the_running_batch_end(make: Make, gate: Gate) -> None:
    batcher = make(gate.run)
    running = hold(batcher, gate)
    waiting = batcher.submit("a")
    closing = threading.Thread(target=batcher.close)
    closing.start()
    with pytest.raises(ModelUnavailable, match="shut down"):
        waiting.result(WAIT_S)
    gate.open()
    assert running.result(WAIT_S) == "HOLD"
    closing.join(WAIT_S)
    assert not closing.is_alive()


def test_a_lonely_call_runs_in_its_own_thread(make: Make, gate: Gate) -> None:
    gate.open()
    assert make(gate.run, inline=True).call("a") == "A"
    assert gate.threads == [threading.current_thread().name]


def test_a_lonely_call_fails_like_any_other(make: Make) -> None:
    batcher = make(answer_all, inline=True)
    with pytest.raises(InferenceFailed):
        batcher.call("bad")
    with pytest.raises(ModelUnavailable):
        batcher.call("lost")
    with pytest.raises(ModelUnavailable):
        batcher.call("a")


def test_after_company_the_next_batch_waits_for_as_many(make: Make, gate: Gate) -> None:
    batcher = make(gate.run, linger_s=WAIT_S)
    hold(batcher, gate)
    together = [batcher.submit(text) for text in "ab"]
    gate.open()
    gate.wait_until_running()
    gate.open()
    results_of(together)
    first = batcher.submit("c")
    second = batcher.submit("d")
    gate.open()
    assert results_of([first, second]) == ["C", "D"]
    assert gate.batches[-1] == ["c", "d"]


def test_every_caller_of_many_threads_gets_its_own_answer(make: Make) -> None:
    batcher = make(answer_all, inline=True, linger_s=0.001)
    answers: dict[str, str] = {}

    def ask(thread: int) -> None:
        for turn in range(50):
            answers[f"q{thread}-{turn}"] = batcher.call(f"q{thread}-{turn}")

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(answers) == 800 and all(answer == question.upper() for question, answer in answers.items())


def test_the_first_error_of_many_results_cancels_the_rest(make: Make, gate: Gate) -> None:
    batcher = make(gate.run, max_tokens=1)
    hold(batcher, gate)
    futures = [batcher.submit(text) for text in ("bad", "a", "b")]
    gate.open(2)
    with pytest.raises(InferenceFailed):
        results_of(futures)
    gate.wait_until_running()
    assert futures[2].cancelled()
