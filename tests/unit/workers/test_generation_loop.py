"""A scripted model stands behind the loop: it goes on with the alphabet from a prompt's last letter, one step for each `let`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from core.errors import DeadlineExceeded, InferenceFailed, InvalidRequest, ModelUnavailable, Overloaded, QAError
from core.protocols import Chunk, GenerationRequest
from core.types import FinishReason, Priority
from workers import generation_loop
from workers.chunks import TextStream
from workers.generation_loop import GenerationLoop
from workers.incremental_text import Detokenizer
from workers.kv_cache import CacheShape, KeyValueCache
from workers.llama import Piece

WAIT_S = 10


class Alphabet:
    """After `a` comes `b`, after `z` the end (`{`). `!` breaks the model, `?` has no numbers for scores, `#` loses the device."""

    end_ids = frozenset({ord("{")})
    context = 600
    prefill_tokens = 256

    def __init__(self, max_streams: int = 4) -> None:
        self.max_streams = max_streams
        self.steps: list[list[Piece]] = []
        self._go = threading.Semaphore(0)
        self._stepped = threading.Semaphore(0)
        self.free_running = False

    def let(self, steps: int = 1) -> None:
        """Lets so many steps go and waits until they are done."""
        for _ in range(steps):
            self._go.release()
        for _ in range(steps):
            assert self._stepped.acquire(timeout=WAIT_S)

    def run_free(self) -> None:
        self.free_running = True
        self._go.release()

    def new_cache(self) -> KeyValueCache:
        shape = CacheShape(
            layers=1, kv_heads=1, head_dim=2, max_rows=self.max_streams, max_bytes=2**20, dtype=torch.float32, device=torch.device("cpu")
        )
        return KeyValueCache(shape)

    def prompt(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        return [ord(letter) for _, text in messages for letter in text]

    def detokenizer(self, prompt: Sequence[int]) -> Detokenizer:
        return Detokenizer(lambda ids: "".join(map(chr, ids)), prompt)

    def forward(self, pieces: Sequence[Piece], cache: KeyValueCache) -> Tensor:
        if not self.free_running:
            assert self._go.acquire(timeout=WAIT_S)
        try:
            return self._scores(pieces)
        finally:
            self._stepped.release()

    def _scores(self, pieces: Sequence[Piece]) -> Tensor:
        self.steps.append(list(pieces))
        last = [chr(piece.ids[-1]) for piece in pieces]
        if "!" in last:
            raise ValueError("cannot go on from !")
        if "#" in last:
            raise RuntimeError("CUDA error: device-side assert triggered")
        scores = torch.nn.functional.one_hot(torch.tensor([ord(letter) + 1 for letter in last]), 128).float()
        scores[torch.tensor([letter == "?" for letter in last])] = torch.nan
        return scores


Make = Callable[..., tuple[Alphabet, GenerationLoop]]


@pytest.fixture
def make() -> Iterator[Make]:
    loops: list[tuple[Alphabet, GenerationLoop]] = []

    def build(*, free: bool = True, max_streams: int = 4, max_waiting: int = 4) -> tuple[Alphabet, GenerationLoop]:
        model = Alphabet(max_streams)
        model.free_running = free
        loop = GenerationLoop(model, max_waiting=max_waiting, is_device_lost=lambda error: "CUDA error" in str(error))
        loops.append((model, loop))
        return model, loop

    yield build
    for model, loop in loops:
        model.run_free()
        loop.close()


def ask(text: str, **limits: object) -> GenerationRequest:
    return GenerationRequest(messages=(("user", text),), **{"max_tokens": 40, **limits})  # type: ignore[arg-type]


def submit(loop: GenerationLoop, text: str, **limits: object) -> TextStream:
    return loop.submit(ask(text, **limits), threading.Event())


def text_of(stream: TextStream) -> tuple[str, FinishReason | None]:
    chunks = list(stream)
    return "".join(chunk.text for chunk in chunks), chunks[-1].finish_reason


def error_of(stream: TextStream) -> QAError:
    with pytest.raises(QAError) as raised:
        list(stream)
    return raised.value


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_text_is_written_to_its_end_and_counted(make: Make) -> None:
    chunks = list(submit(make()[1], "tell: w"))
    assert "".join(chunk.text for chunk in chunks) == "xyz"
    assert chunks[-1].finish_reason is FinishReason.STOP
    assert chunks[-1].usage is not None and (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (7, 4)


def test_a_text_ends_at_its_limit_of_tokens(make: Make) -> None:
    assert text_of(submit(make()[1], "a", max_tokens=3)) == ("bcd", FinishReason.LENGTH)


def test_a_stop_string_ends_the_text_and_is_left_out(make: Make) -> None:
    assert text_of(submit(make()[1], "a", stop=("nope", "efg"))) == ("bcd", FinishReason.STOP)


def test_who_comes_later_joins_at_the_next_step(make: Make) -> None:
    model, loop = make(free=False)
    first = submit(loop, "a")
    model.let(2)
    second = submit(loop, "t")
    model.let(2)
    assert [len(step) for step in model.steps[:2]] == [1, 1] and len(model.steps[3]) == 2
    model.run_free()
    assert text_of(first)[0] == "bcdefghijklmnopqrstuvwxyz" and text_of(second)[0] == "uvwxyz"


def test_a_cancelled_text_leaves_at_the_next_step_with_what_it_has(make: Make) -> None:
    model, loop = make(free=False)
    cancel = threading.Event()
    stream = loop.submit(ask("a"), cancel)
    model.let(3)
    cancel.set()
    model.run_free()
    text, reason = text_of(stream)
    assert reason is FinishReason.CANCELLED and "bcd" in text and len(text) <= 5
    wait_for(lambda: loop.running == 0)


def test_a_reader_who_leaves_frees_the_place(make: Make) -> None:
    model, loop = make(free=False, max_streams=1)
    reading = iter(submit(loop, "a"))
    model.let(1)
    assert next(reading).text == "b"
    reading.close()  # type: ignore[attr-defined]
    model.run_free()
    assert text_of(submit(loop, "y")) == ("z", FinishReason.STOP)
    assert len(model.steps) < 10


def test_a_deadline_ends_a_text_and_keeps_what_was_written(make: Make) -> None:
    model, loop = make(free=False)
    stream = submit(loop, "a", deadline_s=0.2)
    model.let(2)
    time.sleep(0.2)
    model.run_free()
    text, reason = text_of(stream)
    assert reason is FinishReason.DEADLINE and text.startswith("bc")


def test_who_waits_beyond_the_deadline_is_told_so(make: Make) -> None:
    model, loop = make(free=False, max_streams=1)
    busy, late = submit(loop, "a"), submit(loop, "a", deadline_s=0.05)
    time.sleep(0.06)
    model.let(2)
    assert isinstance(error_of(late), DeadlineExceeded)
    model.run_free()
    assert text_of(busy)[1] is FinishReason.STOP


def test_who_is_cancelled_while_waiting_gets_an_empty_end(make: Make) -> None:
    model, loop = make(free=False, max_streams=1)
    cancel = threading.Event()
    submit(loop, "a")
    waiting = loop.submit(ask("a"), cancel)
    cancel.set()
    model.let(2)
    assert text_of(waiting) == ("", FinishReason.CANCELLED)


def test_more_than_may_wait_are_told_when_to_come_back(make: Make) -> None:
    model, loop = make(free=False, max_streams=1, max_waiting=1)
    submit(loop, "a")
    wait_for(lambda: loop.running == 1)
    submit(loop, "b")
    with pytest.raises(Overloaded) as refused:
        submit(loop, "c")
    assert refused.value.details["retry_after_s"] >= 0.5


def test_people_go_before_imports_but_not_for_ever(make: Make) -> None:
    model, loop = make(free=False, max_streams=1, max_waiting=20)
    submit(loop, "y")
    wait_for(lambda: loop.running == 1)
    streams = [submit(loop, "y", priority=Priority.BULK), *(submit(loop, "y") for _ in range(12))]
    model.run_free()
    ended = [stream.ended_at for stream in streams if text_of(stream)]
    before = sum(time < ended[0] for time in ended[1:] if time and ended[0])
    assert 4 <= before <= 9


def test_a_prompt_that_breaks_the_model_fails_alone(make: Make) -> None:
    model, loop = make(free=False)
    streams = [submit(loop, text) for text in ("a", "b!", "c", "d?")]
    model.run_free()
    assert isinstance(error_of(streams[1]), InferenceFailed)
    assert isinstance(error_of(streams[3]), InferenceFailed)
    assert text_of(streams[0])[0].endswith("xyz") and text_of(streams[2])[0].endswith("xyz")


def test_a_text_whose_tokens_cannot_be_read_fails_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(ids: Sequence[int]) -> str:
        if ord("%") in ids:
            raise ValueError("no percent")
        return "".join(map(chr, ids))

    monkeypatch.setattr(Alphabet, "detokenizer", lambda _, prompt: Detokenizer(decode, prompt))
    _, loop = make()
    other = submit(loop, "a", max_tokens=3)
    assert "percent" in error_of(submit(loop, "tell: $")).message
    assert text_of(other) == text_of(submit(loop, "a", max_tokens=3)) == ("bcd", FinishReason.LENGTH)


def test_a_lost_device_is_told_to_everyone_now_and_later(make: Make) -> None:
    model, loop = make(free=False, max_streams=2)
    streams = [submit(loop, text) for text in ("a", "#", "c")]
    model.run_free()
    assert all(isinstance(error_of(stream), ModelUnavailable) for stream in streams)
    with pytest.raises(ModelUnavailable, match="device"):
        submit(loop, "a")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_breaks_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _, loop = make()
    monkeypatch.setattr(loop, "_admit", lambda: 1 / 0)
    assert isinstance(error_of(submit(loop, "a")), ModelUnavailable)
    with pytest.raises(ModelUnavailable, match="ZeroDivisionError"):
        submit(loop, "a")


def test_closing_tells_who_waits(make: Make) -> None:
    model, loop = make(free=False)
    stream = submit(loop, "a")
    wait_for(lambda: loop.running == 1)
    closing = threading.Thread(target=loop.close)
    closing.start()
    model.run_free()
    assert isinstance(error_of(stream), ModelUnavailable)
    closing.join(WAIT_S)
    assert not closing.is_alive()


def test_a_reader_who_lags_gets_what_came_meanwhile_at_once(make: Make) -> None:
    stream = submit(make()[1], "a")
    wait_for(lambda: stream.ended_at is not None)
    assert [chunk.text for chunk in stream] == ["bcdefghijklmnopqrstuvwxyz"]


def test_an_error_after_text_leaves_the_text(make: Make) -> None:
    stream = TextStream()
    for item in (Chunk(text="so "), Chunk(text="far"), ModelUnavailable("gone")):
        stream.put(item)
    reading = iter(stream)
    assert next(reading).text == "so far"
    with pytest.raises(ModelUnavailable):
        next(reading)


def test_a_long_prompt_is_read_in_stretches_while_others_write(make: Make) -> None:
    model, loop = make(free=False)
    short, long = submit(loop, "a", max_tokens=9), submit(loop, "x" * (2 * Alphabet.prefill_tokens + 5), max_tokens=1)
    model.run_free()
    assert text_of(short)[1] is FinishReason.LENGTH and text_of(long)[0] == "y"
    assert max(len(piece.ids) for step in model.steps for piece in step) == Alphabet.prefill_tokens
    assert sum(len(step) == 2 for step in model.steps) >= 2


def test_a_slow_step_makes_the_next_stretch_of_a_prompt_half_as_long_and_a_quick_one_twice(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, loop = make()
    monkeypatch.setattr(generation_loop, "STEP_S", 0.0)
    text_of(submit(loop, "x" * 590, max_tokens=1))
    assert [len(step[0].ids) for step in model.steps] == [256, 128, 64, 32, 32, 32, 32, 14]
    model.steps.clear()
    monkeypatch.setattr(generation_loop, "STEP_S", 1000.0)
    text_of(submit(loop, "a" * 590, max_tokens=1))
    assert [len(step[0].ids) for step in model.steps] == [32, 64, 128, 256, 110]


def test_prompts_that_begin_alike_are_computed_once(make: Make) -> None:
    model, loop = make(free=False)
    streams = [submit(loop, "s" * 200 + text, max_tokens=1) for text in ("a", "b", "c")]
    model.run_free()
    assert [text_of(stream)[0] for stream in streams] == ["b", "c", "d"]
    assert sum(len(piece.ids) for step in model.steps for piece in step) < 250


def test_a_prompt_beyond_the_context_is_refused_with_its_size(make: Make) -> None:
    with pytest.raises(InvalidRequest) as refused:
        submit(make()[1], "x" * 600)
    assert (refused.value.details["field"], refused.value.details["tokens"], refused.value.details["limit"]) == ("messages", 600, 599)
