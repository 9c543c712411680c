"""How a chat becomes text: loads any causal-model folder and runs its forward pass on pieces of many texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from core.errors import ModelUnavailable
from workers.chat_tokens import ChatTokenizer
from workers.device import choose_device, choose_dtype, set_threads
from workers.incremental_text import Detokenizer
from workers.kv_cache import CacheShape, KeyValueCache
from workers.llama import LeanLlama, Piece, is_lean
from workers.sentence_model import read_json
from workers.weights import verify

CPU_PREFILL_TOKENS, GPU_PREFILL_TOKENS = 256, 2048  # of new prompts in one step: the texts being written wait for it


class _Stack(Protocol):
    layers: int
    kv_heads: int
    head_dim: int
    context: int

    def forward(self, pieces: Sequence[Piece], cache: KeyValueCache) -> Tensor: ...


class TorchGenerator:
    """One causal model on one device. `forward` must not be called by two threads at once: a loop stands before it.

    Raises ModelUnavailable for a missing or damaged folder, ConfigurationError for what cannot be run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        max_streams: int = 16,
        cache_mb: int = 1024,
    ) -> None:
        verify(folder, hashes=False)
        self.device = choose_device(device)
        self.dtype = choose_dtype(precision, self.device)
        set_threads(threads)
        self._chat = ChatTokenizer(folder)
        self._stack = _load_stack(folder, self.device, self.dtype)
        self.name = folder.name
        self.max_streams = max_streams
        self.prefill_tokens = CPU_PREFILL_TOKENS if self.device.type == "cpu" else GPU_PREFILL_TOKENS
        self.end_ids = _end_ids(folder, self._chat.end_id)
        self._shape = CacheShape(
            layers=self._stack.layers,
            kv_heads=self._stack.kv_heads,
            head_dim=self._stack.head_dim,
            max_rows=max_streams,
            max_bytes=cache_mb * 2**20,
            dtype=self.dtype,
            device=self.device,
        )

    @property
    def context(self) -> int:
        """The longest text in tokens, prompt included: the model's positions or what the cache can hold."""
        return min(self._stack.context, self._shape.max_tokens)

    def new_cache(self) -> KeyValueCache:
        """An empty cache of the size that the settings allow."""
        return KeyValueCache(self._shape)

    def prompt(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """The tokens of a chat; from any thread. Raises InvalidRequest where the template refuses it."""
        return self._chat.prompt(messages)

    def detokenizer(self, prompt: Sequence[int]) -> Detokenizer:
        """What turns the tokens after `prompt` into text."""
        return Detokenizer(self._chat.decode, prompt)

    def forward(self, pieces: Sequence[Piece], cache: KeyValueCache) -> Tensor:
        """Scores float32[pieces, vocabulary] of the token after each piece."""
        torch.get_num_threads()  # gives this thread the number of threads that was set; oneDNN would take every core
        return self._stack.forward(pieces, cache)


def _load_stack(folder: Path, device: torch.device, dtype: torch.dtype) -> _Stack:
    from safetensors.torch import load_file

    config = read_json(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelUnavailable(f"{folder} holds no weights (*.safetensors).", folder=str(folder))
    if not is_lean(config):
        from workers.any_causal import AnyCausal

        return AnyCausal(folder, device, dtype)
    return LeanLlama(config, {name: tensor for file in files for name, tensor in load_file(file).items()}, device, dtype)


def _end_ids(folder: Path, end_id: int | None) -> frozenset[int]:
    """The tokens that end a text: what the folder's generation and model configuration say, and the tokenizer."""
    found = [read_json(folder / name).get("eos_token_id") for name in ("generation_config.json", "config.json")] + [end_id]
    ids = [one for value in found for one in (value if isinstance(value, list) else [value])]
    return frozenset(one for one in ids if isinstance(one, int))
