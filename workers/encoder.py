"""How texts become vectors: loads any sentence-encoder folder and runs its forward pass on batches of token ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from core.errors import ConfigurationError
from core.types import FloatArray, Role
from workers.bert import LeanBert, is_lean
from workers.bert_pass import finish_pass, padding_of, round_up
from workers.device import choose_device, choose_dtype, set_threads
from workers.sentence_model import Pooling, SentenceModel, read_sentence_model
from workers.tokens import TextTokenizer, TokenizedText
from workers.weights import verify, weights_sha256


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's vector float32[dim] and, where asked for, its token vectors float32[tokens, dim]; all of unit length."""

    vector: FloatArray
    token_vectors: FloatArray | None


class _Stack(Protocol):
    dim: int

    def embed(self, ids: Tensor, lengths: Tensor | None, pooling: Pooling, *, wants_tokens: bool) -> tuple[Tensor, Tensor]: ...


class TorchEncoder:
    """One encoder on one device. `forward` must not be called by two threads at once: a batcher stands before it.

    `folder` is a Hugging Face or sentence-transformers folder; `device`, `precision` and `threads` are the settings of
    these names. Raises ModelUnavailable for a missing or damaged folder, ConfigurationError for what cannot be run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        query_prefix: str | None = None,
        passage_prefix: str | None = None,
    ) -> None:
        verify(folder, hashes=False)
        self.device = choose_device(device)
        self.dtype = choose_dtype(precision, self.device)
        self.threads = set_threads(threads)
        self._model = read_sentence_model(folder, query_prefix=query_prefix, passage_prefix=passage_prefix)
        self._tokenizer = TextTokenizer(self._model)
        self._stack = _load_stack(self._model, self.device, self.dtype, quantised=precision == "int8")
        self.model_id = _model_id(self._model, quantised=precision == "int8")
        self.dim = self._stack.dim

    def tokenize(self, texts: Sequence[str], role: Role, *, wants_tokens: bool = False) -> list[TokenizedText]:
        """The texts as `forward` takes them; from any thread."""
        return self._tokenizer.tokenize(texts, role, wants_tokens=wants_tokens)

    @torch.inference_mode()
    def forward(self, texts: Sequence[TokenizedText]) -> list[Encoded]:
        """The vectors of one batch in its order; padded to the longest."""
        torch.get_num_threads()  # gives this thread the number of threads that was set; oneDNN would take every core
        lengths = [len(text.ids) for text in texts]
        longest = max(lengths)
        padded = min(lengths) < longest
        rows = [text.ids + [0] * (longest - len(text.ids)) for text in texts] if padded else [text.ids for text in texts]
        counts = torch.tensor(lengths, device=self.device) if padded else None
        wants_tokens = any(text.wants_tokens for text in texts)
        embedded = self._stack.embed(torch.tensor(rows, device=self.device), counts, self._model.pooling, wants_tokens=wants_tokens)
        vectors, tokens = (tensor.cpu().numpy() for tensor in embedded)
        if not wants_tokens:
            return [Encoded(vector, None) for vector in vectors]
        return [Encoded(vectors[row], tokens[row, text.start : text.end] if text.wants_tokens else None) for row, text in enumerate(texts)]

    def texts_of_every_length(self, max_tokens: int) -> list[TokenizedText]:
        """One text for each number of rows that a pass on a CPU has, up to `max_tokens`; the kernels of each are compiled when it first comes."""
        longest = min(max_tokens, self._model.max_tokens)
        return [
            TokenizedText(ids=[0] * rows, start=0, end=0)
            for rows in sorted({min(round_up(tokens), longest) for tokens in range(1, longest + 1)})
        ]

    def encode(self, texts: Sequence[str], role: Role, *, max_tokens: int = 2048) -> FloatArray:
        """float32[n, dim] with unit rows, sorted by length into batches of `max_tokens` padded tokens; for one thread alone."""
        tokenized = self.tokenize(texts, role)
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(tokenized[index].ids), reverse=True)
        while order:
            count = max(1, max_tokens // len(tokenized[order[0]].ids))
            batch, order = order[:count], order[count:]
            for index, encoded in zip(batch, self.forward([tokenized[index] for index in batch]), strict=True):
                vectors[index] = encoded.vector
        return vectors


class _AnyTransformer:
    """A model that transformers loads by its config; slower for single texts than `LeanBert`."""

    def __init__(self, model: SentenceModel, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoModel

        self._model = AutoModel.from_pretrained(model.folder, local_files_only=True, dtype=dtype).to(device).eval()
        self.dim = int(self._model.config.hidden_size)

    def embed(self, ids: Tensor, lengths: Tensor | None, pooling: Pooling, *, wants_tokens: bool) -> tuple[Tensor, Tensor]:
        """As `LeanBert.embed`."""
        mask = torch.ones_like(ids) if lengths is None else (~padding_of(lengths, ids.shape[1])).long()
        hidden: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return finish_pass(hidden, lengths, pooling.value, wants_tokens)


def _load_stack(model: SentenceModel, device: torch.device, dtype: torch.dtype, *, quantised: bool) -> _Stack:
    from safetensors.torch import load_file

    path = model.folder / "model.safetensors"
    if is_lean(model.config) and path.is_file():
        return LeanBert(model.config, load_file(path), device, dtype, quantised=quantised)
    if quantised:
        raise ConfigurationError(
            f"QA_ENCODER_PRECISION=int8 is for BERT and XLM-RoBERTa with safetensors; {model.name} is another. Use auto."
        )
    return _AnyTransformer(model, device, dtype)


def _model_id(model: SentenceModel, *, quantised: bool) -> str:
    """Name, first 12 digits of the weights' sha256, and 8 digits that stand for prefixes, pooling and length.

    The number format is not in it: vectors made in fp32 and bf16 are interchangeable (cosine above .9999). int8 is
    told apart by the name, so that an index is searched with what built it; what was fitted to the weights holds for both.
    """
    facts = "\n".join([*(f"{role}={model.prefixes[role]}" for role in Role), model.pooling, str(model.max_tokens)])
    return (
        f"{model.name}{'-int8' if quantised else ''}@{weights_sha256(model.folder)[:12]}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"
    )
