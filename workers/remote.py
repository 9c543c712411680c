"""The models that run elsewhere: the same answers as the local ones, from whichever inference worker is free."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from core.config import get_settings
from core.errors import ModelUnavailable
from core.protocols import Span
from core.types import EncodedQuery, FloatArray, Priority, Role
from workers.broker import ENCODER, RERANKER, TAGGER
from workers.dispatch import Dispatcher, result_of, shared_dispatcher
from workers.embedding_cache import CachedVectors, EmbeddingCache
from workers.outbox import Row
from workers.remote_generator import RemoteGenerator
from workers.wire import (
    EncodeBody,
    RerankBody,
    Scores,
    TagBody,
    Vectors,
    encode_as_dict,
    rerank_as_dict,
    scores_from_dict,
    tag_as_dict,
    tags_from_dict,
    vectors_from_dict,
)

__all__ = ["RemoteEncoder", "RemoteGenerator", "RemoteReranker", "RemoteTagger", "chunks_of"]

LIVE_TEXTS = 8
CHUNK_TEXTS = 128
CHUNK_CHARS = 100_000
TOKEN_CHUNK_CHARS = 4_000
CHUNKS_UNDER_WAY = 4


@dataclass(frozen=True, slots=True)
class _Served:
    """What the workers serve, as far as the last answer tells, and the questions that this model answered before."""

    model_id: str
    dim: int
    cache: EmbeddingCache


class RemoteEncoder:
    """The encoder of the inference workers; implements `core.protocols.Encoder` and needs `QA_REDIS_URL`.

    Up to `LIVE_TEXTS` texts count as a person's and go before imports, whose texts travel in chunks. Every method raises
    ModelUnavailable where no worker is alive, Overloaded where too much waits, DeadlineExceeded where none answers in time.
    """

    def __init__(self, dispatcher: Dispatcher | None = None) -> None:
        self._settings = get_settings()
        self._dispatcher = dispatcher or shared_dispatcher()
        self._lock = threading.Lock()
        self._served: _Served | None = None

    def close(self) -> None:
        """Ends the process's connection to the workers; who waits gets ModelUnavailable."""
        self._dispatcher.close()

    @property
    def model_id(self) -> str:
        """Names the model that the workers serve; asks them once, and learns of another with their next answer."""
        return self._describe().model_id

    @property
    def dim(self) -> int:
        """Length of a vector; asks the workers once."""
        return self._describe().dim

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """float32[n, dim] with unit rows, in the order of `texts`."""
        chunks = [result.vectors for result in self._encode_all(texts, role, wants_tokens=False)]
        return np.concatenate(chunks) if chunks else np.empty((0, self.dim), dtype=np.float32)

    def encode_query(self, text: str) -> EncodedQuery:
        """One question with its token vectors. `encode_ms` counts the way there and back; little where it was asked before."""
        started = time.perf_counter()
        known = self.remembered(text)
        if known is not None:
            return known
        (result,) = self._encode_all([text], Role.QUERY, wants_tokens=True)
        return replace(self.remember(text, result), encode_ms=(time.perf_counter() - started) * 1000)

    def remembered(self, text: str) -> EncodedQuery | None:
        """A question that was asked before, where it still is in memory."""
        started = time.perf_counter()
        served = self._served
        found = served.cache.get(text) if served is not None else None
        return None if served is None or found is None else _query(served, found, started)

    def remember(self, text: str, result: Vectors) -> EncodedQuery:
        """The question whose vectors a worker has sent, kept in memory."""
        started = time.perf_counter()
        served, found = self._learn(result), _cached(result)
        served.cache.put(text, found)
        return _query(served, found, started)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
        """For each text its vector float32[dim] and its token vectors float32[tokens, dim], both of unit length."""
        results = self._encode_all(texts, role, wants_tokens=True)
        return [pair for result in results for pair in zip(result.vectors, result.token_vectors or (), strict=True)]

    def _encode_all(self, texts: Sequence[str], role: Role, *, wants_tokens: bool) -> Iterator[Vectors]:
        """The results of the chunks in order, with at most `CHUNKS_UNDER_WAY` of them on their way; all from one model."""
        priority = Priority.LIVE if len(texts) <= LIVE_TEXTS else Priority.BULK
        under_way: deque[Future[Row]] = deque()
        models: set[str] = set()
        try:
            for chunk in chunks_of(
                texts, min(CHUNK_TEXTS, self._settings.batch_max_waiting), TOKEN_CHUNK_CHARS if wants_tokens else CHUNK_CHARS
            ):
                if len(under_way) >= CHUNKS_UNDER_WAY:
                    yield self._take(under_way, priority, models)
                under_way.append(self._submit(EncodeBody(texts=chunk, text_role=role, wants_tokens=wants_tokens), priority))
            while under_way:
                yield self._take(under_way, priority, models)
        finally:
            for future in under_way:
                future.cancel()

    def _take(self, under_way: deque[Future[Row]], priority: Priority, models: set[str]) -> Vectors:
        """The oldest chunk's result."""
        result = self._result(under_way[0], priority)
        under_way.popleft()
        models.add(result.model_id)
        if len(models) > 1:
            raise ModelUnavailable(f"The inference workers serve different models ({', '.join(sorted(models))}); wait until all serve one.")
        return result

    def _submit(self, body: EncodeBody, priority: Priority) -> Future[Row]:
        return self._dispatcher.submit(ENCODER, encode_as_dict(body), priority=priority, timeout_s=self._timeout_s(priority))

    def _result(self, future: Future[Row], priority: Priority) -> Vectors:
        result = vectors_from_dict(result_of(future, self._timeout_s(priority)))
        self._learn(result)
        return result

    def _timeout_s(self, priority: Priority) -> float:
        return self._settings.remote_timeout_s if priority is Priority.LIVE else self._settings.remote_bulk_timeout_s

    def _describe(self) -> _Served:
        """What is known of the model; asks a worker where nothing is."""
        served = self._served
        if served is None:
            future = self._submit(EncodeBody(texts=(), text_role=Role.QUERY, wants_tokens=False), Priority.LIVE)
            served = self._learn(self._result(future, Priority.LIVE))
        return served

    def _learn(self, result: Vectors) -> _Served:
        """Notes which model answers. What another one answered before is forgotten: its vectors mean nothing to this one's."""
        with self._lock:
            if self._served is None or self._served.model_id != result.model_id:
                cache = EmbeddingCache(self._settings.embedding_cache_entries)
                self._served = _Served(result.model_id, result.vectors.shape[1], cache)
            return self._served


class RemoteReranker:
    """The reranker of the inference workers; implements `core.protocols.Reranker` and needs `QA_REDIS_URL`.

    A person waits for it, so it goes before imports. Raises as `RemoteEncoder`.
    """

    def __init__(self, dispatcher: Dispatcher | None = None) -> None:
        self._timeout_s = get_settings().remote_timeout_s
        self._dispatcher = dispatcher or shared_dispatcher()

    def close(self) -> None:
        """Ends the process's connection to the workers; who waits gets ModelUnavailable."""
        self._dispatcher.close()

    @property
    def model_id(self) -> str:
        """Names what scores; asks a worker."""
        return self._ask("", ())[0].model_id

    def score(self, query: str, passages: Sequence[str]) -> FloatArray:
        """float32[n], larger is better; all from one model."""
        if not passages:
            return np.empty(0, np.float32)
        answers = self._ask(query, passages)
        if len(models := {answer.model_id for answer in answers}) > 1:
            raise ModelUnavailable(
                f"The inference workers rerank with different models ({', '.join(sorted(models))}); wait until all serve one."
            )
        return np.concatenate([answer.scores for answer in answers])

    def _ask(self, query: str, passages: Sequence[str]) -> list[Scores]:
        futures: list[Future[Row]] = []
        try:
            for chunk in list(chunks_of(passages, CHUNK_TEXTS, CHUNK_CHARS)) or [()]:
                body = rerank_as_dict(RerankBody(query=query, passages=chunk))
                futures.append(self._dispatcher.submit(RERANKER, body, priority=Priority.LIVE, timeout_s=self._timeout_s))
            return [scores_from_dict(result_of(future, self._timeout_s)) for future in futures]
        finally:
            for future in futures:
                future.cancel()


class RemoteTagger:
    """The tagger of the inference workers; implements `core.protocols.Tagger` and needs `QA_REDIS_URL`.

    Up to `LIVE_TEXTS` texts count as a person's and go before imports. Raises as `RemoteEncoder`.
    """

    def __init__(self, dispatcher: Dispatcher | None = None) -> None:
        self._settings = get_settings()
        self._dispatcher = dispatcher or shared_dispatcher()

    def close(self) -> None:
        """Ends the process's connection to the workers; who waits gets ModelUnavailable."""
        self._dispatcher.close()

    def tag(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in order of their start."""
        live = len(texts) <= LIVE_TEXTS
        priority = Priority.LIVE if live else Priority.BULK
        timeout_s = self._settings.remote_timeout_s if live else self._settings.remote_bulk_timeout_s
        tagged: list[list[Span]] = []
        for chunk in chunks_of(texts, CHUNK_TEXTS, CHUNK_CHARS):
            future = self._dispatcher.submit(TAGGER, tag_as_dict(TagBody(texts=chunk)), priority=priority, timeout_s=timeout_s)
            tagged += map(list, tags_from_dict(result_of(future, timeout_s)).spans)
        return tagged


def chunks_of(texts: Sequence[str], max_texts: int, max_chars: int) -> Iterator[tuple[str, ...]]:
    """The texts in order, in chunks of up to `max_texts` texts and `max_chars` characters; a longer text goes alone."""
    chunk: list[str] = []
    chars = 0
    for text in texts:
        if chunk and (len(chunk) >= max_texts or chars + len(text) > max_chars):
            yield tuple(chunk)
            chunk, chars = [], 0
        chunk.append(text)
        chars += len(text)
    if chunk:
        yield tuple(chunk)


def _query(served: _Served, found: CachedVectors, started: float) -> EncodedQuery:
    tokens = found.token_vectors.astype(np.float32)
    milliseconds = (time.perf_counter() - started) * 1000
    return EncodedQuery(encoder=served.model_id, vector=found.vector, token_vectors=tokens, encode_ms=milliseconds)


def _cached(result: Vectors) -> CachedVectors:
    if result.token_vectors is None:
        raise ValueError("the worker sent no token vectors")
    vector = result.vectors[0]
    vector.flags.writeable = False
    return CachedVectors(vector, result.token_vectors[0].astype(np.float16))
