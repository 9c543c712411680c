"""The reranker of this process: the cross-encoder of `QA_RERANKER`, or late interaction over the encoder where none is named."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np

from core.backends import get_backend
from core.config import get_settings
from core.errors import ConfigurationError, ModelUnavailable
from core.protocols import Encoder
from core.types import FloatArray, Priority, Role
from workers.batching import results_of
from workers.cross_encoder import BatchedCrossEncoder, load_cross_encoder
from workers.late_interaction import LateInteraction, PendingTokens
from workers.loading import LoadedOnce
from workers.local import LocalEncoder
from workers.pending import Pending

LATE_INTERACTION = "late-interaction"
RETRY_LOADING_S = 30.0


class LocalReranker:
    """Implements `core.protocols.Reranker`. The model is loaded on first use, once; every thread shares it.

    `encoder` is what late interaction asks for token vectors; empty is the process's. Every method raises ModelUnavailable
    where the model cannot be loaded (tried again after `RETRY_LOADING_S`), Overloaded where too much waits.
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        self._settings = get_settings()
        self._encoder = encoder
        self._late = None if self._settings.reranker else LateInteraction()
        self._cross_encoder = LoadedOnce("reranker", self._load, free=lambda loaded: loaded.close())
        self._refusal: tuple[float, str] | None = None

    def load(self) -> None:
        """Loads the model now and runs one pair through it."""
        self.score("warm up", ["warm up"])

    def close(self) -> None:
        """Frees the cross-encoder; whoever waits for it gets ModelUnavailable. The encoder is its owner's to close."""
        self._cross_encoder.close()

    @property
    def model_id(self) -> str:
        """Names what scores: thresholds fitted for one mean nothing for another."""
        if self._late is not None:
            return f"{LATE_INTERACTION}:{self._the_encoder().model_id}"
        return self._cross_encoder.get().model.model_id

    @property
    def device(self) -> str:
        """Where the model runs."""
        if self._late is not None:
            return str(getattr(self._the_encoder(), "device", "elsewhere"))
        return str(self._cross_encoder.get().model.device)

    def score(self, query: str, passages: Sequence[str]) -> FloatArray:
        """float32[n], larger is better: a logit of the cross-encoder, or a mean cosine where there is none."""
        return self.begin(query, passages).make()

    def begin(
        self,
        query: str,
        passages: Sequence[str],
        *,
        priority: Priority = Priority.LIVE,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
    ) -> Pending[FloatArray]:
        """The scores under way, of passages that share forward passes with everybody's. As `Batcher.submit`."""
        if not passages:
            return Pending(lambda: np.empty(0, np.float32))
        if self._late is None:
            futures = self._cross_encoder.get().submit(query, passages, priority=priority, deadline=deadline, cancel=cancel)
            return Pending(lambda: np.array(results_of(futures), np.float32), futures)
        encoder = self._the_encoder()

        def begin_encoding(texts: Sequence[str], role: Role) -> PendingTokens:
            if role is Role.QUERY and deadline is None:
                return Pending(lambda: [_asked_for(encoder.encode_query(text).token_vectors) for text in texts])  # it remembers questions
            if not isinstance(encoder, LocalEncoder):
                return Pending(lambda: [tokens for _, tokens in encoder.encode_tokens(texts, role)])
            encoded = encoder.submit(texts, role, wants_tokens=True, priority=priority, deadline=deadline, cancel=cancel)
            return Pending(lambda: [_asked_for(one.token_vectors) for one in results_of(encoded)], encoded)

        return self._late.begin(query, passages, encoder.model_id, begin_encoding)

    def _the_encoder(self) -> Encoder:
        return self._encoder or get_backend(self._settings.encoder_backend, Encoder)  # type: ignore[type-abstract]

    def _load(self) -> BatchedCrossEncoder:
        """Raises ModelUnavailable for any reason, so that a search goes on without; at once where it failed just now."""
        if self._refusal is not None and time.monotonic() < self._refusal[0]:
            raise ModelUnavailable(self._refusal[1])
        try:
            return load_cross_encoder(self._settings)
        except (ModelUnavailable, ConfigurationError) as error:
            self._refusal = (time.monotonic() + RETRY_LOADING_S, error.message)
            raise ModelUnavailable(error.message) from error


def _asked_for(token_vectors: FloatArray | None) -> FloatArray:
    if token_vectors is None:
        raise ValueError("token vectors were not asked for")
    return token_vectors
