"""How well does a passage answer a question, read together? One cross-encoder behind its batcher (Nogueira & Cho 2019)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from core.config import Settings
from core.errors import ConfigurationError
from core.types import Priority
from workers.batching import Batcher, submit_all
from workers.broker import RERANKER
from workers.device import is_device_lost
from workers.headed_model import Head, HeadedModel, TokenizedInput
from workers.weights import resolve


class CrossEncoder:
    """The scores of (question, passage) pairs. `forward` must not be called by two threads at once.

    A score is the logit of a model with one label, the log-odds of "relevant" of a model with two. Raises ConfigurationError
    for more labels, and as `HeadedModel`.
    """

    def __init__(self, folder: Path, *, device: str = "auto", precision: str = "auto", threads: int = 0) -> None:
        self.model = HeadedModel(folder, Head.TEXT, device=device, precision=precision, threads=threads)
        if len(self.model.labels) > 2:
            raise ConfigurationError(
                f"{folder.name} has {len(self.model.labels)} labels; a reranker has one, or two with the second for relevant."
            )

    def tokenize(self, query: str, passages: Sequence[str]) -> list[TokenizedInput]:
        """The pairs as `forward` takes them; from any thread."""
        return [self.model.input_of(encoding) for encoding in self.model.encode([(query, passage) for passage in passages])]

    def forward(self, pairs: Sequence[TokenizedInput]) -> list[float]:
        """The scores of one batch, in its order."""
        logits = self.model.logits(pairs)
        scores: list[float] = (logits[:, -1] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]).tolist()
        return scores


class BatchedCrossEncoder:
    """A cross-encoder whose callers share forward passes, bounded in padded tokens."""

    def __init__(self, cross_encoder: CrossEncoder, settings: Settings) -> None:
        self.model = cross_encoder.model
        self._cross_encoder = cross_encoder
        self._batcher: Batcher[TokenizedInput, float] = Batcher(
            cross_encoder.forward,
            name=RERANKER,
            cost=lambda pair: len(pair.ids),
            limits=self.model.limits(settings),
            is_device_lost=is_device_lost,
        )

    def submit(
        self,
        query: str,
        passages: Sequence[str],
        *,
        priority: Priority = Priority.LIVE,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
    ) -> list[Future[float]]:
        """The scores to come. As `Batcher.submit`; where the queue fills up midway, none waits."""
        return submit_all(self._batcher, self._cross_encoder.tokenize(query, passages), priority=priority, deadline=deadline, cancel=cancel)

    def close(self) -> None:
        """Frees the model; whoever waits gets ModelUnavailable."""
        self._batcher.close()


def load_cross_encoder(settings: Settings) -> BatchedCrossEncoder:
    """The cross-encoder of `QA_RERANKER`. Raises ModelUnavailable, ConfigurationError."""
    folder = resolve(settings.reranker, settings.models_folder)
    loaded = CrossEncoder(folder, device=settings.device, precision=settings.model_precision, threads=settings.model_threads)
    return BatchedCrossEncoder(loaded, settings)
