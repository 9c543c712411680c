"""The models of this process: loaded once on first use, each behind a batcher that every thread shares."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np

from core.config import Settings, get_settings
from core.errors import ModelUnavailable
from core.generation import check_request
from core.protocols import Chunk, GenerationRequest
from core.types import EncodedQuery, FloatArray, Priority, Role
from workers.batch_limits import CPU_BATCH_TOKENS, limits_for
from workers.batching import Batcher, results_of, submit_all
from workers.chunks import TextStream
from workers.device import choose_device, is_device_lost
from workers.embedding_cache import CachedVectors, EmbeddingCache
from workers.encoder import Encoded, TorchEncoder
from workers.generation_loop import GenerationLoop
from workers.generator import TorchGenerator
from workers.loading import LoadedOnce
from workers.tokens import TokenizedText
from workers.weights import resolve

CHUNK_TEXTS = 512
CHUNKS_IN_FLIGHT = 2
LIVE_TEXTS = 8


class LocalEncoder:
    """The encoder of `QA_ENCODER` in this process; implements `core.protocols.Encoder`.

    Texts are tokenised in the caller's thread. Up to `LIVE_TEXTS` texts count as a person's, longer lists as an import: they
    are fed in chunks, so memory stays constant, and give way to people's questions. Every method raises ModelUnavailable
    where the model cannot be loaded, Overloaded where too much waits.
    """

    def __init__(self) -> None:
        self._settings = get_settings()
        self._cache = EmbeddingCache(self._settings.embedding_cache_entries)
        self._model = LoadedOnce("encoder", lambda: _load(self._settings), free=lambda loaded: loaded[1].close())

    def load(self) -> None:
        """Loads the model now and runs texts of every length through it, so that the first question is as fast as the others."""
        encoder, batcher = self._model.get()
        for text in encoder.texts_of_every_length(CPU_BATCH_TOKENS) if encoder.device.type == "cpu" else ():
            batcher.call(text)
        self.encode_tokens(["warm up"], Role.QUERY)

    def close(self) -> None:
        """Frees the model; whoever waits for it gets ModelUnavailable."""
        self._model.close()

    @property
    def model_id(self) -> str:
        """Names the weights and how texts are put to them; loads the model."""
        return self._model.get()[0].model_id

    @property
    def dim(self) -> int:
        """Length of a vector; loads the model."""
        return self._model.get()[0].dim

    @property
    def device(self) -> str:
        """Where the model runs; loads it."""
        return str(self._model.get()[0].device)

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """float32[n, dim] with unit rows, in the order of `texts`."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        for index, encoded in enumerate(self._encode_all(texts, role, wants_tokens=False)):
            vectors[index] = encoded.vector
        return vectors

    def encode_query(self, text: str) -> EncodedQuery:
        """One question with its token vectors. `encode_ms` counts tokenising and waiting; little where it was asked before."""
        started = time.perf_counter()
        found = self._cache.get(text)
        if found is None:
            found = self._encode_question(text)
            self._cache.put(text, found)
        tokens = found.token_vectors.astype(np.float32)
        milliseconds = (time.perf_counter() - started) * 1000
        return EncodedQuery(encoder=self.model_id, vector=found.vector, token_vectors=tokens, encode_ms=milliseconds)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
        """For each text its vector float32[dim] and its token vectors float32[tokens, dim], both of unit length."""
        return [_both(encoded) for encoded in self._encode_all(texts, role, wants_tokens=True)]

    def submit(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        wants_tokens: bool,
        priority: Priority,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
    ) -> list[Future[Encoded]]:
        """The results to come of texts that wait together. As `Batcher.submit`; where the queue fills up midway, none waits."""
        encoder, batcher = self._model.get()
        tokenized = encoder.tokenize(texts, role, wants_tokens=wants_tokens)
        return submit_all(batcher, tokenized, priority=priority, deadline=deadline, cancel=cancel)

    def _encode_question(self, text: str) -> CachedVectors:
        encoder, batcher = self._model.get()
        (tokenized,) = encoder.tokenize([text], Role.QUERY, wants_tokens=True)
        row, tokens = _both(batcher.call(tokenized))
        vector = row.copy()  # the row itself would keep its whole batch in memory
        vector.flags.writeable = False
        return CachedVectors(vector, tokens.astype(np.float16))

    def _encode_all(self, texts: Sequence[str], role: Role, *, wants_tokens: bool) -> Iterator[Encoded]:
        """The results in order, with at most `CHUNKS_IN_FLIGHT` chunks before the model."""
        encoder, batcher = self._model.get()
        priority = Priority.LIVE if len(texts) <= LIVE_TEXTS else Priority.BULK
        chunk_texts = max(1, min(CHUNK_TEXTS, self._settings.batch_max_waiting // CHUNKS_IN_FLIGHT))
        in_flight: deque[list[Future[Encoded]]] = deque()
        try:
            for start in range(0, len(texts), chunk_texts):
                if len(in_flight) >= CHUNKS_IN_FLIGHT:
                    yield from results_of(in_flight.popleft())
                chunk = encoder.tokenize(texts[start : start + chunk_texts], role, wants_tokens=wants_tokens)
                in_flight.append(submit_all(batcher, chunk, priority=priority))
            while in_flight:
                yield from results_of(in_flight.popleft())
        finally:
            for futures in in_flight:
                for future in futures:
                    future.cancel()


class LocalGenerator:
    """The generator of `QA_GENERATOR` in this process, loaded on first use; implements `core.protocols.Generator`."""

    def __init__(self) -> None:
        self._settings = get_settings()
        self._loop = LoadedOnce("generator", lambda: _load_generator(self._settings), free=lambda loop: loop.close())

    @property
    def model_id(self) -> str:
        """The setting's name; empty where there is no generator."""
        return self._settings.generator

    @property
    def device(self) -> str:
        """Where the model runs, or will."""
        return str(choose_device(self._settings.device))

    @property
    def is_lost(self) -> bool:
        """Whether the model was there and can serve nobody any more: only another process helps."""
        loop = self._loop.loaded
        return loop is not None and loop.has_ended

    def load(self) -> None:
        """Loads the model now, so that the first request need not wait for it."""
        self._loop.get()

    def stream(self, request: GenerationRequest, cancel: threading.Event) -> Iterator[Chunk]:
        """The chunks; the request waits for its place from the call on, read or not."""
        return iter(self.submit(request, cancel))

    def submit(self, request: GenerationRequest, cancel: threading.Event) -> TextStream:
        """The text to come, with what a worker asks of it. Raises as `stream` does, InvalidRequest for limits that make no sense."""
        check_request(request)
        return self._loop.get().submit(request, cancel)

    def close(self) -> None:
        """Frees the model; whoever waits for it gets ModelUnavailable."""
        self._loop.close()


def _load_generator(settings: Settings) -> GenerationLoop:
    if not settings.generator:
        raise ModelUnavailable("There is no generator: QA_GENERATOR is empty.")
    generator = TorchGenerator(
        resolve(settings.generator, settings.models_folder),
        device=settings.device,
        precision=settings.generator_precision,
        threads=settings.model_threads,
        max_streams=settings.generator_max_streams,
        cache_mb=settings.generator_cache_mb,
    )
    return GenerationLoop(generator, max_waiting=settings.generator_max_waiting, is_device_lost=is_device_lost)


def _load(settings: Settings) -> tuple[TorchEncoder, Batcher[TokenizedText, Encoded]]:
    encoder = TorchEncoder(
        resolve(settings.encoder, settings.models_folder),
        device=settings.device,
        precision=settings.encoder_precision,
        threads=settings.model_threads,
        query_prefix=settings.encoder_query_prefix,
        passage_prefix=settings.encoder_passage_prefix,
    )
    on_cpu = encoder.device.type == "cpu"
    batcher: Batcher[TokenizedText, Encoded] = Batcher(
        encoder.forward,
        name="encoder",
        cost=lambda text: len(text.ids),
        limits=limits_for(settings, on_cpu=on_cpu),
        is_device_lost=is_device_lost,
        # several OpenMP threads form a pool for each thread that calls them; one calling thread keeps it one pool
        inline=not on_cpu or encoder.threads == 1,
    )
    return encoder, batcher


def _both(encoded: Encoded) -> tuple[FloatArray, FloatArray]:
    if encoded.token_vectors is None:
        raise ValueError("token vectors were not asked for")
    return encoded.vector, encoded.token_vectors
