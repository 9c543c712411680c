"""How BERT and XLM-RoBERTa turn token ids into hidden states, as plain functions over fused weights.

The same mathematics as transformers' BertModel (Devlin et al. 2019) without its modules: half of the time of one short
question is Python there. On CPUs the weights are laid out for oneDNN once, which halves the time again; the operators are
those that `torch.compile` emits for frozen linear layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.types import JSONDict

_ROBERTA_TYPES = ("xlm-roberta", "roberta")
_ROWS_HINT = 32


def is_lean(config: JSONDict) -> bool:
    """Whether a model of this config.json is one that `LeanBert` computes."""
    return (
        config.get("model_type") in ("bert", *_ROBERTA_TYPES)
        and config.get("position_embedding_type", "absolute") == "absolute"
        and config.get("hidden_act") == "gelu"
        and not config.get("is_decoder", False)
    )


class _Linear:
    """y = x W' + b, optionally followed by GELU or by adding a residual. Weights are laid out for oneDNN on CPUs."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._bias = bias
        self._packed = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS_HINT) if self._packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            return _linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return F.linear(x, self._weight, self._bias)

    def gelu(self, x: Tensor) -> Tensor:
        if self._packed:
            return _linear_pointwise(x, self._weight, self._bias, "gelu", [], "none")
        return F.gelu(F.linear(x, self._weight, self._bias))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        if self._packed:
            return _linear_binary(x, residual, self._weight, self._bias, "add")
        return F.linear(x, self._weight, self._bias) + residual


_linear_pointwise: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
_linear_binary: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.binary


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: _Linear
    attention_out: _Linear
    attention_norm: _Norm
    up: _Linear
    down: _Linear
    norm: _Norm


class LeanBert:
    """The encoder stack of one model on one device. `weights` are named as in transformers, with any prefix.

    Word embeddings, most of a multilingual model, keep the number format and the mapped file they come in: only the rows
    of a batch are converted, and processes of one machine share the file's pages.
    """

    def __init__(self, config: JSONDict, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> None:
        prefix = next(name for name in weights if name.endswith("embeddings.word_embeddings.weight")).removesuffix(
            "embeddings.word_embeddings.weight"
        )
        self._weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
        self._device, self._dtype = device, dtype
        self._eps = float(str(config.get("layer_norm_eps", 1e-12)))
        self.dim = int(str(config["hidden_size"]))
        self._heads = int(str(config["num_attention_heads"]))
        first = int(str(config.get("pad_token_id", 1))) + 1 if config.get("model_type") in _ROBERTA_TYPES else 0
        self._words = self._weights["embeddings.word_embeddings.weight"].to(device)
        types = self._get("embeddings.token_type_embeddings.weight")
        self._positions = self._get("embeddings.position_embeddings.weight")[first:] + types[0]
        self._embedding_norm = self._norm("embeddings.LayerNorm")
        self._layers = [self._layer(index) for index in range(int(str(config["num_hidden_layers"])))]
        self._weights.clear()

    def hidden_states(self, ids: Tensor, lengths: Tensor | None) -> Tensor:
        """[texts, longest, dim] for right-padded ids [texts, longest]; `lengths` [texts] is None where none is padded."""
        texts, longest = ids.shape
        x = self._embedding_norm(F.embedding(ids, self._words).to(self._dtype) + self._positions[:longest])
        mask = None if lengths is None else self._mask(lengths, longest)
        for layer in self._layers:
            q, k, v = layer.qkv(x).view(texts, longest, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(texts, longest, self.dim)
            x = layer.attention_norm(layer.attention_out.add(attended, x))
            x = layer.norm(layer.down.add(layer.up.gelu(x), x))
        return x

    def _mask(self, lengths: Tensor, longest: int) -> Tensor:
        """Added to attention scores: 0 for a text's tokens, the least number for padding. [texts, 1, 1, longest]"""
        padding = torch.arange(longest, device=lengths.device)[None, :] >= lengths[:, None]
        mask = torch.zeros(padding.shape, dtype=self._dtype, device=lengths.device)
        return mask.masked_fill_(padding, torch.finfo(self._dtype).min)[:, None, None, :]

    def _layer(self, index: int) -> _Layer:
        base = f"encoder.layer.{index}."
        parts = [f"{base}attention.self.{name}" for name in ("query", "key", "value")]
        qkv = _Linear(torch.cat([self._get(f"{part}.weight") for part in parts]), torch.cat([self._get(f"{part}.bias") for part in parts]))
        return _Layer(
            qkv=qkv,
            attention_out=self._linear(f"{base}attention.output.dense"),
            attention_norm=self._norm(f"{base}attention.output.LayerNorm"),
            up=self._linear(f"{base}intermediate.dense"),
            down=self._linear(f"{base}output.dense"),
            norm=self._norm(f"{base}output.LayerNorm"),
        )

    def _linear(self, name: str) -> _Linear:
        return _Linear(self._get(f"{name}.weight"), self._get(f"{name}.bias"))

    def _norm(self, name: str) -> _Norm:
        return _Norm(self._get(f"{name}.weight"), self._get(f"{name}.bias"), self._eps)

    def _get(self, name: str) -> Tensor:
        return self._weights[name].to(device=self._device, dtype=self._dtype)
