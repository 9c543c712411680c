"""How many texts are written at a time: one loop before the generator that takes texts in and lets them go at each step.

Each step computes the next token of every text being written together with a stretch of the prompts that came new
(continuous batching, Yu et al. 2022, with chunked prefill, Agrawal et al. 2023). Whoever cancels, is late or fails leaves
at the next step, and the next one waiting takes the place.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from core.cores import running_models
from core.errors import InferenceFailed, InvalidRequest, ModelUnavailable, Overloaded, QAError
from core.metrics import BATCH_DROPPED, BATCH_SECONDS, BATCH_WAITING, BATCHED_TEXTS, BATCHES, FIRST_TOKEN_SECONDS, GENERATED_TOKENS
from core.protocols import Chunk, GenerationRequest
from core.types import FinishReason, Priority
from workers.chunks import TextStream
from workers.incremental_text import Detokenizer, StopFilter
from workers.kv_cache import KeyValueCache, shared_length
from workers.llama import Piece
from workers.sampling import Sampler
from workers.written_text import NAME, WrittenText

LIVE_PER_BULK = 8
WORTH_WAITING_TOKENS = 64
STEP_S = 0.25  # longest time for a step with new prompts: a stop, and every text being written, waits for its end
LEAST_PREFILL_TOKENS = 32


class Model(Protocol):
    """What the loop needs of a generator (`workers.generator.TorchGenerator`)."""

    max_streams: int
    prefill_tokens: int
    end_ids: frozenset[int]

    @property
    def context(self) -> int: ...
    def new_cache(self) -> KeyValueCache: ...
    def prompt(self, messages: Sequence[tuple[str, str]]) -> list[int]: ...
    def detokenizer(self, prompt: Sequence[int]) -> Detokenizer: ...
    def forward(self, pieces: Sequence[Piece], cache: KeyValueCache) -> Tensor: ...


class GenerationLoop:
    """Writes many texts at a time with one model. Safe for many threads; `is_device_lost` tells an error that nothing survives."""

    def __init__(
        self, model: Model, *, max_waiting: int = 64, is_device_lost: Callable[[BaseException], bool] = lambda error: False
    ) -> None:
        self._model = model
        self._max_waiting = max_waiting
        self._is_device_lost = is_device_lost
        self._cache = model.new_cache()
        self._waiting: dict[Priority, deque[WrittenText]] = {priority: deque() for priority in Priority}
        self._running: list[WrittenText] = []  # by row of the cache
        self._live_in_a_row = 0
        self._text_s = 1.0
        self._stretch = model.prefill_tokens
        self._changed = threading.Condition()
        self._ended: ModelUnavailable | None = None
        self._thread = threading.Thread(target=self._loop, name=f"generation-{NAME}", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest, cancel: threading.Event) -> TextStream:
        """The text to come. Raises InvalidRequest where the prompt is too long, Overloaded where too many wait, ModelUnavailable."""
        began = time.monotonic()
        prompt = self._model.prompt(request.messages)
        if len(prompt) >= self._model.context:
            raise InvalidRequest(
                f"The messages have {len(prompt)} tokens; the generator takes {self._model.context - 1}. Shorten them.",
                field="messages", tokens=len(prompt), limit=self._model.context - 1,
            )  # fmt: skip
        text = WrittenText(
            ids=prompt,
            prompt_tokens=len(prompt),
            longest=min(len(prompt) + request.max_tokens, self._model.context),
            sampler=Sampler(temperature=request.temperature, top_p=request.top_p, seed=request.seed),
            detokenizer=self._model.detokenizer(prompt),
            stops=StopFilter(request.stop),
            cancel=cancel,
            began=began,
            deadline=began + request.deadline_s,
            priority=request.priority,
        )
        with self._changed:
            if self._ended is not None:
                raise ModelUnavailable(self._ended.message)
            if len(self._waiting[text.priority]) >= self._max_waiting:
                raise self._overloaded(text.priority)
            self._waiting[text.priority].append(text)
            self._count_waiting()
            self._changed.notify_all()
        return text.stream

    def close(self) -> None:
        """Ends the loop after the step that runs; whoever waits gets ModelUnavailable. Can be called twice."""
        self._end(ModelUnavailable("The generator was shut down."))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def has_ended(self) -> bool:
        """Whether it can serve nobody any more."""
        return self._ended is not None

    @property
    def running(self) -> int:
        """Texts being written."""
        return len(self._running)

    def _loop(self) -> None:
        with running_models():
            self._serve()

    def _serve(self) -> None:
        try:
            while self._wait_for_work():
                self._let_go_unwanted()
                self._admit()
                if self._running:
                    self._step()
        except ModelUnavailable as error:
            self._end(error)
        except BaseException as error:  # the loop's last words: without them every later caller would wait for ever
            self._end(ModelUnavailable(f"The generator failed: {error!r}. Restart the process."))
            raise

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._ended is not None or self._running or any(self._waiting.values()))
            return self._ended is None

    def _let_go_unwanted(self) -> None:
        now = time.monotonic()
        for text in list(self._running):
            if reason := text.reason_to_end(now):
                self._leave(text)
                text.stream.put(text.last_chunk(reason))
        with self._changed:
            for priority, queue in self._waiting.items():
                gone = [(text, reason) for text in queue if (reason := text.reason_to_end(now))]
                if gone:
                    self._waiting[priority] = deque(text for text in queue if not text.reason_to_end(now))
                    self._count_waiting()
                for text, reason in gone:
                    text.turn_away(reason)

    def _admit(self) -> None:
        """Takes in who waits, as far as there are rows and memory."""
        while len(self._running) < self._model.max_streams and (text := self._next_waiting()):
            if not self._cache.reserve(max(one.longest for one in (*self._running, text))) or self._should_wait(text):
                return
            with self._changed:
                self._waiting[text.priority].popleft()
                self._count_waiting()
            self._live_in_a_row = 0 if text.priority is Priority.BULK else self._live_in_a_row + 1
            text.row, text.computed = self._cache.activate(text.ids)
            self._running.append(text)

    def _next_waiting(self) -> WrittenText | None:
        live, bulk = self._waiting[Priority.LIVE], self._waiting[Priority.BULK]
        if bulk and (not live or self._live_in_a_row >= LIVE_PER_BULK):
            return bulk[0]
        return live[0] if live else None

    def _should_wait(self, text: WrittenText) -> bool:
        """Whether a text being read in begins alike, so that waiting for it saves computing much of this one."""
        coming = max((shared_length(one.ids, text.ids) for one in self._running if one.computed < one.prompt_tokens - 1), default=0)
        return coming >= WORTH_WAITING_TOKENS + self._cache.longest_shared(text.ids)[1]

    def _step(self) -> None:
        """One pass: the next token of every text, and a stretch of new prompts."""
        texts, pieces, left = [], [], self._stretch
        began = time.monotonic()
        for text in self._running:
            pending = len(text.ids) - text.computed
            if pending > 1 and left <= 0:
                continue
            piece = text.piece(left if pending > 1 else 1)
            left -= len(piece.ids) if pending > 1 else 0
            texts.append(text)
            pieces.append(piece)
        for text, last in self._advance(texts, pieces):
            self._leave(text)
            text.stream.put(last)
        self._stretch = self._next_stretch(self._stretch - left, time.monotonic() - began)

    def _next_stretch(self, read: int, took_s: float) -> int:
        """Tokens of new prompts for the next step, after one that read so many: half where it took too long, twice where it was quick."""
        if took_s > STEP_S and 2 * read >= self._stretch:
            return max(self._stretch // 2, min(LEAST_PREFILL_TOKENS, self._model.prefill_tokens))
        if took_s < STEP_S / 2 and read >= self._stretch:
            return min(2 * self._stretch, self._model.prefill_tokens)
        return self._stretch

    def _advance(self, texts: list[WrittenText], pieces: list[Piece]) -> list[tuple[WrittenText, Chunk | QAError]]:
        """Runs the pieces; where that fails, in halves, so that only the text at fault is left out. Returns those that end, and how."""
        try:
            with BATCH_SECONDS.labels(NAME).time():
                scores = self._model.forward(pieces, self._cache)
                best, tokens = (part.tolist() for part in scores.max(dim=-1))
        except Exception as error:
            if self._is_device_lost(error):
                raise _device_lost(error) from error
            if len(texts) == 1:
                return [(texts[0], _failure(error))]
            middle = len(texts) // 2
            return self._advance(texts[:middle], pieces[:middle]) + self._advance(texts[middle:], pieces[middle:])
        BATCHES.labels(NAME).inc()
        BATCHED_TEXTS.labels(NAME).inc(len(texts))
        ends: list[tuple[WrittenText, Chunk | QAError]] = []
        for index, (text, piece) in enumerate(zip(texts, pieces, strict=True)):
            text.computed = piece.end
            self._cache.held[text.row].extend(piece.ids)
            if text.computed == len(text.ids) and (last := self._go_on(text, best[index], tokens[index], scores, index)):
                ends.append((text, last))
        return ends

    def _go_on(self, text: WrittenText, best: float, likeliest: int, scores: Tensor, row: int) -> Chunk | QAError | None:
        """Adds the next token by the scores in a row. Returns how the text ends with it; one that cannot be drawn or read fails alone."""
        if not math.isfinite(best):
            return _failure(ValueError("its scores are no numbers"))
        try:
            return self._write(text, likeliest if text.sampler.is_greedy else text.sampler.draw(scores[row]))
        except Exception as error:
            if self._is_device_lost(error):
                raise _device_lost(error) from error
            return _failure(error)

    def _write(self, text: WrittenText, token: int) -> Chunk | None:
        """Adds a token and tells the reader what it completes. Returns the last chunk where the text ends with it."""
        if len(text.ids) == text.prompt_tokens:
            FIRST_TOKEN_SECONDS.observe(time.monotonic() - text.began)
        GENERATED_TOKENS.inc()
        text.ids.append(token)
        if token in self._model.end_ids:
            return text.last_chunk(FinishReason.STOP)
        shown = text.stops.push(text.detokenizer.push(token))
        if text.stops.stopped:
            return Chunk(text=shown, finish_reason=FinishReason.STOP, usage=text.usage)
        if shown:
            text.stream.put(Chunk(text=shown))
        return text.last_chunk(FinishReason.LENGTH) if len(text.ids) >= text.longest else None

    def _leave(self, text: WrittenText) -> None:
        """Frees the text's row."""
        self._text_s = 0.7 * self._text_s + 0.3 * (time.monotonic() - text.began)
        moved = self._cache.retire(text.row)
        self._running[text.row] = self._running[moved]
        self._running[text.row].row = text.row
        self._running.pop()

    def _end(self, reason: ModelUnavailable) -> None:
        with self._changed:
            self._ended = self._ended or reason
            left = [*self._running, *(text for queue in self._waiting.values() for text in queue)]
            for queue in self._waiting.values():
                queue.clear()
            self._count_waiting()
            self._changed.notify_all()
        for text in left:
            text.stream.put(ModelUnavailable(reason.message))

    def _overloaded(self, priority: Priority) -> Overloaded:
        """How long until those who wait have gone, at the pace of the last texts: between half a second and half a minute."""
        waiting = len(self._waiting[priority])
        seconds = self._text_s * waiting / self._model.max_streams
        BATCH_DROPPED.labels(NAME, Overloaded.code).inc()
        return Overloaded(f"{waiting} requests wait for the generator already.", retry_after_s=round(min(30.0, max(0.5, seconds)), 1))

    def _count_waiting(self) -> None:
        BATCH_WAITING.labels(NAME).set(sum(map(len, self._waiting.values())))


def _failure(error: Exception) -> InferenceFailed:
    failure = InferenceFailed(f"The generator failed on this request: {error}")
    failure.__cause__ = error
    return failure


def _device_lost(error: Exception) -> ModelUnavailable:
    return ModelUnavailable(f"The device of the generator failed: {error}. Restart the process.")
