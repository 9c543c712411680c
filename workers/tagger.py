"""Which names, places and things does a text mention? A token-classification model given by id or folder, behind its batcher."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding

from core.config import get_settings
from core.errors import ModelUnavailable
from core.protocols import Span
from core.types import Priority
from workers.batching import Batcher, results_of, submit_all
from workers.bio import TaggedToken, spans_of
from workers.broker import TAGGER
from workers.device import is_device_lost
from workers.headed_model import Head, HeadedModel, TokenizedInput
from workers.loading import LoadedOnce
from workers.pending import Pending
from workers.weights import resolve

OVERLAP = 64
LIVE_TEXTS = 8
CHUNK_TEXTS = 128


@dataclass(frozen=True, slots=True)
class TokenLabels:
    """For each token of one input its label and how likely that is."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Windows:
    """A text and the model's inputs that cover it: one, or several that overlap where it is longer than the model takes."""

    text: str
    encodings: tuple[Encoding, ...]
    overlap: int

    def tokens(self, found: Sequence[TokenLabels], names: dict[int, str]) -> Iterator[TaggedToken]:
        """The text's own tokens in order, each from the window in which it has more context."""
        last = len(self.encodings) - 1
        for place, (encoding, labels) in enumerate(zip(self.encodings, found, strict=True)):
            own = [index for index, special in enumerate(encoding.special_tokens_mask) if not special]
            first, end = (self.overlap // 2 if place else 0), len(own) - (self.overlap - self.overlap // 2 if place < last else 0)
            for index in own[first:end]:
                start, stop = encoding.offsets[index]
                yield TaggedToken(start, stop, names[int(labels.labels[index])], float(labels.scores[index]))


class TorchTagger:
    """The labels of tokens. `forward` must not be called by two threads at once. Raises as `HeadedModel`."""

    def __init__(self, folder: Path, *, device: str = "auto", precision: str = "auto", threads: int = 0) -> None:
        self.model = HeadedModel(folder, Head.TOKENS, device=device, precision=precision, threads=threads, overlap=OVERLAP)

    def windows(self, texts: Sequence[str]) -> list[Windows]:
        """The texts as the model takes them; from any thread."""
        read = zip(texts, self.model.encode(texts), strict=True)
        return [Windows(text, (encoding, *encoding.overflowing), self.model.overlap) for text, encoding in read]

    def forward(self, batch: Sequence[TokenizedInput]) -> list[TokenLabels]:
        """The labels of one batch, in its order."""
        likely = self.model.logits(batch).softmax(-1)
        scores, labels = torch.max(likely, dim=-1)
        return [TokenLabels(labels[row, : len(one.ids)].numpy(), scores[row, : len(one.ids)].numpy()) for row, one in enumerate(batch)]


class LocalTagger:
    """The tagger of `QA_TAGGER` in this process; implements `core.protocols.Tagger`. Loaded on first use, once.

    Up to `LIVE_TEXTS` texts count as a person's, more as an import. Every method raises ModelUnavailable where no tagger is
    named or it cannot be loaded, Overloaded where too much waits.
    """

    def __init__(self) -> None:
        self._settings = get_settings()
        self._model = LoadedOnce("tagger", self._load, free=lambda loaded: loaded[1].close())

    def load(self) -> None:
        """Loads the model now and runs one text through it."""
        self.tag(["warm up"])

    def close(self) -> None:
        """Frees the model; whoever waits for it gets ModelUnavailable."""
        self._model.close()

    @property
    def model_id(self) -> str:
        """Names the weights."""
        return self._model.get()[0].model.model_id

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._model.get()[0].model.device)

    def tag(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in order of their start."""
        priority = Priority.LIVE if len(texts) <= LIVE_TEXTS else Priority.BULK
        chunks = (texts[start : start + CHUNK_TEXTS] for start in range(0, len(texts), CHUNK_TEXTS))
        return [spans for chunk in chunks for spans in self.begin(chunk, priority=priority).make()]

    def begin(
        self, texts: Sequence[str], *, priority: Priority, deadline: float | None = None, cancel: threading.Event | None = None
    ) -> Pending[list[list[Span]]]:
        """The spans under way, of texts that share forward passes with everybody's. As `Batcher.submit`."""
        tagger, batcher = self._model.get()
        covered = tagger.windows(texts)
        inputs = [tagger.model.input_of(encoding) for windows in covered for encoding in windows.encodings]
        futures = submit_all(batcher, inputs, priority=priority, deadline=deadline, cancel=cancel)

        def spans() -> list[list[Span]]:
            found = iter(results_of(futures))
            labels = [[next(found) for _ in windows.encodings] for windows in covered]
            return [spans_of(windows.text, windows.tokens(own, tagger.model.labels)) for windows, own in zip(covered, labels, strict=True)]

        return Pending(spans, futures)

    def _load(self) -> tuple[TorchTagger, Batcher[TokenizedInput, TokenLabels]]:
        settings = self._settings
        if not settings.tagger:
            raise ModelUnavailable("No tagger is named: set QA_TAGGER to a Hugging Face id or a folder.")
        folder = resolve(settings.tagger, settings.models_folder)
        tagger = TorchTagger(folder, device=settings.device, precision=settings.model_precision, threads=settings.model_threads)
        batcher: Batcher[TokenizedInput, TokenLabels] = Batcher(
            tagger.forward,
            name=TAGGER,
            cost=lambda one: len(one.ids),
            limits=tagger.model.limits(settings),
            is_device_lost=is_device_lost,
        )
        return tagger, batcher
