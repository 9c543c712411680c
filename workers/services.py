"""Which models does an inference worker serve? A service a role: it reads a call's body, hands it to the model, makes the reply."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import redis

from core.config import Settings
from core.errors import ModelUnavailable, QAError
from core.types import JSONDict, Priority
from workers.batching import results_of
from workers.broker import ENCODER, GENERATOR, RERANKER, SEARCH, TAGGER
from workers.cancels import Cancels
from workers.local import LocalEncoder, LocalGenerator
from workers.pending import Pending
from workers.reranker import LocalReranker
from workers.search_service import SearchService
from workers.service import Service
from workers.tagger import LocalTagger
from workers.token_stream import TokenSender, claim_text, send_error
from workers.wire import (
    GenerateBody,
    Scores,
    Tags,
    Vectors,
    Writer,
    encode_from_dict,
    generate_from_dict,
    rerank_from_dict,
    scores_as_dict,
    tag_from_dict,
    tags_as_dict,
    vectors_as_dict,
    writer_as_dict,
)
from workers.wire_errors import error_as_dict


class EncoderService:
    """Texts become vectors."""

    role = ENCODER

    def __init__(self, encoder: LocalEncoder) -> None:
        self.model = encoder
        self.load = encoder.load
        self.close = encoder.close

    def begin(self, body: Mapping[str, Any], *, priority: Priority, deadline: float, cancel: threading.Event) -> Pending[JSONDict]:
        asked = encode_from_dict(body)
        futures = self.model.submit(
            asked.texts, asked.text_role, wants_tokens=asked.wants_tokens, priority=priority, deadline=deadline, cancel=cancel
        )

        def reply() -> JSONDict:
            encoded = results_of(futures)
            tokens = tuple(one.token_vectors for one in encoded if one.token_vectors is not None) if asked.wants_tokens else None
            vectors = np.stack([one.vector for one in encoded]) if encoded else np.empty((0, self.model.dim), np.float32)
            return vectors_as_dict(Vectors(model_id=self.model.model_id, vectors=vectors, token_vectors=tokens))

        return Pending(reply, futures)


class RerankerService:
    """Passages are scored against a question."""

    role = RERANKER

    def __init__(self, reranker: LocalReranker, encoder: LocalEncoder) -> None:
        self.model = reranker
        self._encoder = encoder
        self.load = reranker.load

    def close(self) -> None:
        self.model.close()
        self._encoder.close()

    def begin(self, body: Mapping[str, Any], *, priority: Priority, deadline: float, cancel: threading.Event) -> Pending[JSONDict]:
        asked = rerank_from_dict(body)
        scores = self.model.begin(asked.query, asked.passages, priority=priority, deadline=deadline, cancel=cancel)
        return scores.then(lambda found: scores_as_dict(Scores(model_id=self.model.model_id, scores=found)))


class TaggerService:
    """Texts get their spans."""

    role = TAGGER

    def __init__(self, tagger: LocalTagger) -> None:
        self.model = tagger
        self.load = tagger.load
        self.close = tagger.close

    def begin(self, body: Mapping[str, Any], *, priority: Priority, deadline: float, cancel: threading.Event) -> Pending[JSONDict]:
        asked = tag_from_dict(body)
        spans = self.model.begin(asked.texts, priority=priority, deadline=deadline, cancel=cancel)
        return spans.then(lambda found: tags_as_dict(Tags(model_id=self.model.model_id, spans=tuple(map(tuple, found)))))


class GeneratorService:
    """Texts are written. A call's reply says who writes; the text itself goes to a stream of its own, from a thread of its own.

    The model is loaded with the first call: most answers need none.
    """

    role = GENERATOR

    def __init__(self, generator: LocalGenerator, settings: Settings, cancels: Cancels) -> None:
        self.model = generator
        self._redis = redis.Redis.from_url(settings.redis_url, socket_timeout=10, socket_connect_timeout=2)
        self._cancels = cancels
        self._sender = TokenSender(self._redis)

    def load(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        self.model.close()
        self._sender.close()
        self._redis.close()

    def begin(self, body: Mapping[str, Any], *, priority: Priority, deadline: float, cancel: threading.Event) -> Pending[JSONDict]:
        asked = generate_from_dict(body, priority)
        me = Writer(host=socket.gethostname(), pid=os.getpid())
        writer = claim_text(self._redis, asked.text_id, me)
        if writer == me:
            try:
                self._begin_writing(asked)
            except ModelUnavailable as error:
                send_error(self._redis, asked.text_id, error)
                if self.model.is_lost:
                    raise
                refusal = error_as_dict(error)  # as a reply: raised, it would end this worker, whose other models are well
                return Pending(lambda: refusal)
            except QAError as error:
                send_error(self._redis, asked.text_id, error)
                raise
        return Pending(lambda: writer_as_dict(writer))

    def _begin_writing(self, asked: GenerateBody) -> None:
        flag = self._cancels.watch(asked.text_id)
        try:
            stream = self.model.submit(asked.request, flag)
        except BaseException:
            self._cancels.forget(asked.text_id)
            raise
        self._sender.send(asked.text_id, stream, flag, on_end=lambda: self._cancels.forget(asked.text_id))


def make_services(settings: Settings, cancels: Cancels) -> list[Service]:
    """The services of `QA_WORKER_ROLES`, which share what they can: late interaction uses the encoder of the same process."""
    encoder = LocalEncoder()
    known: dict[str, Callable[[], Service]] = {
        ENCODER: lambda: EncoderService(encoder),
        RERANKER: lambda: RerankerService(LocalReranker(encoder), encoder),
        TAGGER: lambda: TaggerService(LocalTagger()),
        GENERATOR: lambda: GeneratorService(LocalGenerator(), settings, cancels),
        SEARCH: lambda: SearchService(encoder, settings),
    }
    return [known[role]() for role in settings.worker_role_names]
