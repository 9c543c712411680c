"""How Llama, Mistral and Qwen models turn tokens into scores of the next one, as plain functions over fused weights.

The same mathematics as transformers' LlamaForCausalLM (Touvron et al. 2023) without its modules. One forward pass takes
pieces of many texts: the new token of each that is being written, and stretches of prompts. Linear layers see all their
tokens as one matrix; attention goes to each text's own row of the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.types import JSONDict
from workers.kv_cache import KeyValueCache

_LEAN_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_ROWS_HINT = 16
_LINEAR_ON_CPU = torch.ops.mkldnn._linear_pointwise.default


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one text that are computed in one pass: those at `start` and after it, in row `row` of the cache."""

    row: int
    start: int
    ids: list[int]

    @property
    def end(self) -> int:
        """Tokens of the text that are in the cache afterwards."""
        return self.start + len(self.ids)


def is_lean(config: JSONDict) -> bool:
    """Whether a model of this config.json is one that `LeanLlama` computes."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    plain_rope = isinstance(rope, dict) and rope.get("rope_type", rope.get("type", "default")) == "default"
    return (
        config.get("model_type") in _LEAN_TYPES
        and plain_rope
        and config.get("hidden_act", "silu") == "silu"
        and not (config.get("sliding_window") and config.get("use_sliding_window", True))
        and not config.get("quantization_config")
        and not config.get("partial_rotary_factor")
    )


class _Linear:
    """y = x W' + b; weights are laid out for oneDNN on CPUs."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._bias = bias
        self._packed = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS_HINT) if self._packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            return _LINEAR_ON_CPU(x, self._weight, self._bias, "none", [], "")  # type: ignore[no-any-return]
        return F.linear(x, self._weight, self._bias)


@dataclass(frozen=True, slots=True)
class _Layer:
    norm: Tensor
    qkv: _Linear
    q_norm: Tensor | None
    k_norm: Tensor | None
    out: _Linear
    mlp_norm: Tensor
    gate_up: _Linear
    down: _Linear


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the tokens of a pass belong: first one token each of `single` texts, then the longer pieces one after another."""

    ids: Tensor
    rows: Tensor
    positions: Tensor
    single: int
    active: int
    longest: int
    single_mask: Tensor | None
    stretches: tuple[tuple[int, int, Piece, Tensor], ...]


class LeanLlama:
    """One model on one device. `weights` are named as in transformers."""

    def __init__(self, config: JSONDict, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> None:
        self._weights, self.device, self.dtype = dict(weights), device, dtype
        self._eps = float(str(config.get("rms_norm_eps", 1e-6)))
        self._heads = int(str(config["num_attention_heads"]))
        self.kv_heads = int(str(config.get("num_key_value_heads") or self._heads))
        self.head_dim = int(str(config.get("head_dim") or int(str(config["hidden_size"])) // self._heads))
        self.layers = int(str(config["num_hidden_layers"]))
        self.context = int(str(config["max_position_embeddings"]))
        self._words = self._weights["model.embed_tokens.weight"].to(device)
        self._norm = self._get("model.norm.weight")
        tied = "lm_head.weight" not in self._weights
        self._head = self._linear("model.embed_tokens" if tied else "lm_head")
        self._layers = [self._layer(f"model.layers.{index}.") for index in range(self.layers)]
        self._cos, self._sin = self._rotations(config)
        self._weights.clear()

    @torch.inference_mode()
    def forward(self, pieces: Sequence[Piece], cache: KeyValueCache) -> Tensor:
        """Scores float32[pieces, vocabulary] of the token after each piece, whose keys and values are then in the cache."""
        order = sorted(range(len(pieces)), key=lambda index: len(pieces[index].ids) > 1)
        plan = self._plan([pieces[index] for index in order], cache.active)
        x = F.embedding(plan.ids, self._words).to(self.dtype)
        cos, sin = self._cos[plan.positions][:, None], self._sin[plan.positions][:, None]
        for index, layer in enumerate(self._layers):
            q, k, v = self._project(layer, x, cos, sin)
            keys, values = cache.layer(index)
            keys[plan.rows, :, plan.positions] = k
            values[plan.rows, :, plan.positions] = v
            x = x + layer.out(self._attend(plan, q, keys, values))
            gate, up = layer.gate_up(self._rms(x, layer.mlp_norm)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        ends = [*range(plan.single), *(end - 1 for _, end, _, _ in plan.stretches)]
        back = sorted(range(len(order)), key=order.__getitem__)
        return self._head(self._rms(x[[ends[place] for place in back]], self._norm)).float()

    def _project(self, layer: _Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [tokens, heads, dim], keys and values [tokens, kv heads, dim], rotated to their positions."""
        sizes = [self._heads, self.kv_heads, self.kv_heads]
        q, k, v = layer.qkv(self._rms(x, layer.norm)).view(len(x), -1, self.head_dim).split(sizes, dim=1)  # type: ignore[no-untyped-call]
        if layer.q_norm is not None and layer.k_norm is not None:
            q, k = self._rms(q, layer.q_norm), self._rms(k, layer.k_norm)
        return _rotate(q, cos, sin), _rotate(k, cos, sin), v

    def _attend(self, plan: _Plan, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """[tokens, heads · dim]. Heads that share a key head stand side by side as if they were more queries of it."""
        parts = []
        q = q.view(len(q), self.kv_heads, -1, self.head_dim)
        if plan.single:
            rows, queries = plan.rows[: plan.single], q[: plan.single]
            if plan.single < plan.active:
                queries = q.new_zeros(plan.active, *q.shape[1:]).index_copy_(0, rows, queries)
            k, v = keys[: plan.active, :, : plan.longest], values[: plan.active, :, : plan.longest]
            attended = F.scaled_dot_product_attention(queries, k, v, attn_mask=plan.single_mask)
            parts.append((attended if plan.single == plan.active else attended[rows]).reshape(plan.single, -1))
        for start, end, piece, mask in plan.stretches:
            queries = q[start:end].permute(1, 2, 0, 3).reshape(1, self.kv_heads, -1, self.head_dim)
            k, v = keys[piece.row : piece.row + 1, :, : piece.end], values[piece.row : piece.row + 1, :, : piece.end]
            attended = F.scaled_dot_product_attention(queries, k, v, attn_mask=mask)
            parts.append(attended.view(self.kv_heads, -1, end - start, self.head_dim).permute(2, 0, 1, 3).reshape(end - start, -1))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _plan(self, pieces: Sequence[Piece], active: int) -> _Plan:
        single = sum(len(piece.ids) == 1 for piece in pieces)
        if [piece.row for piece in pieces[:single]] == list(range(single)):
            active = single
        ends = [0] * active
        for piece in pieces[:single]:
            ends[piece.row] = piece.end
        stretches, at = [], single
        for piece in pieces[single:]:
            stretches.append((at, at + len(piece.ids), piece, self._causal_mask(piece)))
            at += len(piece.ids)
        longest = max(ends, default=0)
        return _Plan(
            ids=self._tensor([token for piece in pieces for token in piece.ids]),
            rows=self._tensor([piece.row for piece in pieces for _ in piece.ids]),
            positions=self._tensor([place for piece in pieces for place in range(piece.start, piece.end)]),
            single=single,
            active=active,
            longest=longest,
            single_mask=self._mask(torch.arange(longest, device=self.device) < self._tensor(ends)[:, None])[:, None, None],
            stretches=tuple(stretches),
        )

    def _causal_mask(self, piece: Piece) -> Tensor:
        """[heads a key head · tokens, end]: each token sees itself and what is before it."""
        places = torch.arange(piece.end, device=self.device)
        mask = self._mask(places <= places[piece.start :, None])
        return mask.repeat(self._heads // self.kv_heads, 1)

    def _mask(self, seen: Tensor) -> Tensor:
        """What is added to attention scores: 0 where it is seen, the least number elsewhere."""
        return torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill_(~seen, torch.finfo(self.dtype).min)

    def _rms(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self._eps)

    def _rotations(self, config: JSONDict) -> tuple[Tensor, Tensor]:
        """Cosines and sines [context, head dim] of rotary position embedding (Su et al. 2021)."""
        rope = config.get("rope_parameters")
        theta = rope.get("rope_theta") if isinstance(rope, dict) else None
        theta = float(str(theta or config.get("rope_theta") or 10_000.0))
        frequencies = 1.0 / theta ** (torch.arange(0, self.head_dim, 2, device=self.device, dtype=torch.float32) / self.head_dim)
        angles = torch.outer(torch.arange(self.context, device=self.device, dtype=torch.float32), frequencies).repeat(1, 2)
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def _layer(self, base: str) -> _Layer:
        attention = f"{base}self_attn."
        has_norms = f"{attention}q_norm.weight" in self._weights
        return _Layer(
            norm=self._get(f"{base}input_layernorm.weight"),
            qkv=self._linear(*(f"{attention}{name}_proj" for name in "qkv")),
            q_norm=self._get(f"{attention}q_norm.weight") if has_norms else None,
            k_norm=self._get(f"{attention}k_norm.weight") if has_norms else None,
            out=self._linear(f"{attention}o_proj"),
            mlp_norm=self._get(f"{base}post_attention_layernorm.weight"),
            gate_up=self._linear(f"{base}mlp.gate_proj", f"{base}mlp.up_proj"),
            down=self._linear(f"{base}mlp.down_proj"),
        )

    def _linear(self, *names: str) -> _Linear:
        weight = torch.cat([self._get(f"{name}.weight") for name in names])
        has_bias = f"{names[0]}.bias" in self._weights
        return _Linear(weight, torch.cat([self._get(f"{name}.bias") for name in names]) if has_bias else None)

    def _get(self, name: str) -> Tensor:
        return self._weights[name].to(device=self.device, dtype=self.dtype)

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, device=self.device)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
