"""How a causal model that `LeanLlama` does not compute runs all the same: transformers' own modules over our cache.

Each group of pieces is a forward pass of its own (all single tokens together, each stretch of a prompt alone), and modules
cost more than plain functions; what comes out is the same. A model proves that when it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.cache_utils import Cache

from core.errors import ConfigurationError
from workers.kv_cache import CacheShape, KeyValueCache
from workers.llama import Piece

_TRIAL_TOKENS = 12
_TRIAL_PREFIX = 7
_CLOSE = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 2e-1}


class AnyCausal:
    """A model that transformers loads by its config. Raises ConfigurationError where it does not work with a cache of keys and values."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        self._name, self._device, self._dtype = folder.name, device, dtype
        self._model: Any = _load(folder, dtype).to(device).eval()
        config = self._model.config.get_text_config()
        heads = getattr(config, "num_attention_heads", None)
        if not heads:
            raise ConfigurationError(f"The generator {folder.name} has no attention, so nothing that a cache could keep.")
        self.layers = int(config.num_hidden_layers)
        self.kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
        self.head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        # within a sliding window its mask is the ordinary one
        self.context = min(int(config.max_position_embeddings), int(getattr(config, "sliding_window", None) or 2**30))
        self._refuse_unless_right()

    @torch.inference_mode()
    def forward(self, pieces: Sequence[Piece], cache: KeyValueCache) -> Tensor:
        """Scores float32[pieces, vocabulary] of the token after each piece, whose keys and values are then in the cache."""
        scores: dict[int, Tensor] = {}
        singles = [index for index, piece in enumerate(pieces) if len(piece.ids) == 1]
        for group in [singles, *([index] for index, piece in enumerate(pieces) if len(piece.ids) > 1)]:
            if group:
                scores |= zip(group, self._run([pieces[index] for index in group], cache), strict=True)
        return torch.stack([scores[index] for index in range(len(pieces))])

    def _run(self, group: Sequence[Piece], cache: KeyValueCache) -> Tensor:
        """One pass over pieces of one length: [pieces, vocabulary]."""
        longest = max(piece.end for piece in group)
        positions = torch.tensor([list(range(piece.start, piece.end)) for piece in group], device=self._device)
        seen = torch.arange(longest, device=self._device) <= positions[:, :, None]
        mask = torch.zeros(seen.shape, dtype=self._dtype, device=self._device).masked_fill_(~seen, torch.finfo(self._dtype).min)
        found = self._model(
            input_ids=torch.tensor([piece.ids for piece in group], device=self._device),
            position_ids=positions,
            attention_mask=mask[:, None],
            past_key_values=_Rows(cache, [piece.row for piece in group], positions, longest),
            use_cache=True,
            logits_to_keep=1,
        )
        scores: Tensor = found.logits[:, -1].float()
        return scores

    def _refuse_unless_right(self) -> None:
        """Writes a few tokens through our cache and compares with the model's own pass."""
        ids = [token % self._model.config.get_text_config().vocab_size for token in range(5, 5 + _TRIAL_TOKENS)]
        try:
            cache = KeyValueCache(self._trial_shape())
            cache.reserve(_TRIAL_TOKENS)
            cache.activate(ids)
            found = self.forward([Piece(0, 0, ids[:_TRIAL_PREFIX])], cache)
            for place in range(_TRIAL_PREFIX, _TRIAL_TOKENS):
                found = self.forward([Piece(0, place, ids[place : place + 1])], cache)
            with torch.inference_mode():
                expected = self._model(input_ids=torch.tensor([ids], device=self._device), use_cache=False).logits[0, -1].float()
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError) as error:
            raise ConfigurationError(f"The generator {self._name} cannot be run here: {type(error).__name__}: {error}") from error
        if not torch.allclose(found[0], expected, atol=_CLOSE[self._dtype] * float(expected.abs().max() + 1), rtol=0):
            raise ConfigurationError(f"The generator {self._name} has an architecture that is not supported: its cache works another way.")

    def _trial_shape(self) -> CacheShape:
        return CacheShape(
            layers=self.layers,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            max_rows=1,
            max_bytes=2**40,
            dtype=self._dtype,
            device=self._device,
        )


def _load(folder: Path, dtype: torch.dtype) -> Any:
    try:
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise ConfigurationError(f"The generator {folder.name} cannot be loaded: {str(error).splitlines()[0]}") from error


class _Rows(Cache):
    """The rows of a pass as transformers sees a cache."""

    def __init__(self, cache: KeyValueCache, rows: list[int], positions: Tensor, longest: int) -> None:
        super().__init__(layers=[])
        self._cache, self._longest, self._positions = cache, longest, positions
        self._index = torch.tensor(rows, device=positions.device)
        self._is_first = rows == list(range(len(rows)))

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Adds keys and values [rows, kv heads, tokens, dim]; returns all of these rows."""
        keys, values = self._cache.layer(layer_idx)
        keys[self._index[:, None], :, self._positions] = key_states.transpose(1, 2)
        values[self._index[:, None], :, self._positions] = value_states.transpose(1, 2)
        rows = slice(0, len(self._index)) if self._is_first else self._index
        return keys[rows][:, :, : self._longest], values[rows][:, :, : self._longest]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before this pass."""
        return int(self._positions.min())

    def get_mask_sizes(self, *_: object, **__: object) -> tuple[int, int]:
        """Length and offset of the keys."""
        return self._longest, 0
