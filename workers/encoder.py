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

from core.types import FloatArray, Role
from workers.bert import LeanBert, is_lean
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

    def hidden_states(self, ids: Tensor, lengths: Tensor | None) -> Tensor: ...


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
        self._stack = _load_stack(self._model, self.device, self.dtype)
        self.model_id = _model_id(self._model)
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
        hidden = self._stack.hidden_states(torch.tensor(rows, device=self.device), counts)
        vectors = _normalise(self._pool(hidden, counts)).cpu().numpy()
        if not any(text.wants_tokens for text in texts):
            return [Encoded(vector, None) for vector in vectors]
        tokens = _normalise(hidden.float()).cpu().numpy()
        return [Encoded(vectors[row], tokens[row, text.start : text.end] if text.wants_tokens else None) for row, text in enumerate(texts)]

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

    def _pool(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """[texts, dim] in float32 from [texts, longest, dim]."""
        if self._model.pooling is Pooling.CLS:
            return hidden[:, 0].float()
        if self._model.pooling is Pooling.LAST:
            return (hidden[:, -1] if lengths is None else hidden[torch.arange(len(hidden), device=self.device), lengths - 1]).float()
        if lengths is None:
            return hidden.mean(dim=1, dtype=torch.float32)
        inside = torch.arange(hidden.shape[1], device=self.device)[None, :] < lengths[:, None]
        return hidden.masked_fill(~inside[:, :, None], 0).sum(dim=1, dtype=torch.float32) / lengths[:, None]


class _AnyTransformer:
    """A model that transformers loads by its config; slower for single texts than `LeanBert`."""

    def __init__(self, model: SentenceModel, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoModel

        self._model = AutoModel.from_pretrained(model.folder, local_files_only=True, dtype=dtype).to(device).eval()
        self.dim = int(self._model.config.hidden_size)

    def hidden_states(self, ids: Tensor, lengths: Tensor | None) -> Tensor:
        mask = torch.ones_like(ids) if lengths is None else (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        hidden: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden


def _load_stack(model: SentenceModel, device: torch.device, dtype: torch.dtype) -> _Stack:
    from safetensors.torch import load_file

    path = model.folder / "model.safetensors"
    if is_lean(model.config) and path.is_file():
        return LeanBert(model.config, load_file(path), device, dtype)
    return _AnyTransformer(model, device, dtype)


def _model_id(model: SentenceModel) -> str:
    """Name, first 12 digits of the weights' sha256, and 8 digits that stand for prefixes, pooling and length.

    The number format is not in it: vectors made in fp32 and bf16 are interchangeable (cosine above .9999).
    """
    facts = "\n".join([*(f"{role}={model.prefixes[role]}" for role in Role), model.pooling, str(model.max_tokens)])
    return f"{model.name}@{weights_sha256(model.folder)[:12]}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"


def _normalise(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
