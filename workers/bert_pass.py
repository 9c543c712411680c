"""How one forward pass of BERT runs as a single call into C++: from token ids to unit vectors.

Every operator called from Python gives the interpreter away and takes it back, some 300 times a pass. Beside threads that
answer people each of these waits for its turn: with one busy thread a question took 430 ms, against 5 ms alone. TorchScript
releases the interpreter once, for all of the pass (ADR 0025). The operators for packed weights are those that
`torch.compile` emits for frozen linear layers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def _linear_int8(x: Tensor, weight: Tensor, affine: Tensor) -> Tensor:
    """A linear layer in 8 bits: each token has a scale of its own, so what shares its batch changes nothing of it.

    `weight` is int8 [in, out], `affine` [2, out] the bias and the scale of each output (LLM.int8, Dettmers et al. 2022).
    """
    rows = x.float()
    scales = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127.0
    product = torch._int_mm(torch.round(rows / scales).to(torch.int8), weight)
    return (product.float() * scales * affine[1] + affine[0]).to(x.dtype)


def _linear(x: Tensor, weight: Tensor, bias: Tensor, packed: bool) -> Tensor:
    if weight.dtype == torch.int8:
        return _linear_int8(x, weight, bias)
    if packed:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]
    return F.linear(x, weight, bias)


def _linear_gelu(x: Tensor, weight: Tensor, bias: Tensor, packed: bool) -> Tensor:
    if weight.dtype == torch.int8:
        return F.gelu(_linear_int8(x, weight, bias))
    if packed:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "none")  # type: ignore[no-any-return]
    return F.gelu(F.linear(x, weight, bias))


def _linear_add(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, packed: bool) -> Tensor:
    if weight.dtype == torch.int8:
        return _linear_int8(x, weight, bias) + residual
    if packed:
        return torch.ops.mkldnn._linear_pointwise(x, residual, weight, bias, "add")  # type: ignore[no-any-return]
    return F.linear(x, weight, bias) + residual


def round_up(rows: int) -> int:
    """How many rows the linear layers get for `rows` tokens: an even number up to 32, else at most an eighth more.

    oneDNN compiles each layer anew for each number of rows, in ten milliseconds a pass, and keeps .6 MiB of it. Of these numbers
    there are 48 up to 512; a process that met all of them compiles no linear layer any more (core.native).
    """
    step = 2
    while step * 16 < rows:
        step *= 2
    return (rows + step - 1) // step * step


def _padded(x: Tensor, rows: int) -> Tensor:
    """`x` [n, dim] with zeros below it, [rows, dim]."""
    return F.pad(x, [0, 0, 0, rows - x.size(0)]) if x.size(0) < rows else x


def padding_of(lengths: Tensor, longest: int) -> Tensor:
    """True for padding: bool [texts, longest]."""
    return torch.arange(longest, device=lengths.device).unsqueeze(0) >= lengths.unsqueeze(1)


def _pool(hidden: Tensor, lengths: Tensor | None, pooling: str) -> Tensor:
    """One vector a text, in float32; `pooling` is a value of `Pooling`."""
    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "lasttoken":
        if lengths is None:
            return hidden[:, -1].float()
        return hidden[torch.arange(hidden.size(0), device=hidden.device), lengths - 1].float()
    if lengths is None:
        return hidden.mean(dim=1, dtype=torch.float32)
    outside = padding_of(lengths, hidden.size(1)).unsqueeze(2)
    return hidden.masked_fill(outside, 0.0).sum(dim=1, dtype=torch.float32) / lengths.unsqueeze(1)


def finish_pass(hidden: Tensor, lengths: Tensor | None, pooling: str, wants_tokens: bool) -> tuple[Tensor, Tensor]:
    """Unit vectors of the texts and, where wanted, of their tokens (else empty) from hidden states [texts, longest, dim]."""
    vectors = F.normalize(_pool(hidden, lengths, pooling), dim=-1)
    if wants_tokens:
        return vectors, F.normalize(hidden.float(), dim=-1)
    return vectors, vectors.new_empty([0])


def _run_pass(
    ids: Tensor,
    lengths: Tensor | None,
    embeddings: list[Tensor],
    layers: list[Tensor],
    heads: int,
    eps: float,
    packed: bool,
    pooling: str,
    wants_tokens: bool,
) -> tuple[Tensor, Tensor]:
    texts, longest = ids.size(0), ids.size(1)
    words, positions = embeddings[0], embeddings[1]
    dim = words.size(1)
    tokens = texts * longest
    rows = round_up(tokens) if packed else tokens
    x = F.embedding(ids, words).to(positions.dtype) + positions[:longest]
    x = _padded(torch.layer_norm(x, [dim], embeddings[2], embeddings[3], eps).view(tokens, dim), rows)
    mask: Tensor | None = None
    if lengths is not None:
        zeros = torch.zeros([texts, 1, 1, longest], dtype=x.dtype, device=x.device)
        mask = zeros.masked_fill_(padding_of(lengths, longest).view(texts, 1, 1, longest), -30000.0)
    for at in range(0, len(layers), 12):  # weight and bias of qkv, attention output and its norm, up, down and the last norm
        qkv = _linear(x, layers[at], layers[at + 1], packed)[:tokens].view(texts, longest, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask).transpose(1, 2).reshape(tokens, dim)
        x = _linear_add(_padded(attended, rows), x, layers[at + 2], layers[at + 3], packed)
        x = torch.layer_norm(x, [dim], layers[at + 4], layers[at + 5], eps)
        up = _linear_gelu(x, layers[at + 6], layers[at + 7], packed)
        x = torch.layer_norm(_linear_add(up, x, layers[at + 8], layers[at + 9], packed), [dim], layers[at + 10], layers[at + 11], eps)
    return finish_pass(x[:tokens].view(texts, longest, dim), lengths, pooling, wants_tokens)


def _compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # nothing else that torch ships runs a graph without a compiler on the machine
        script: Callable[..., tuple[Tensor, Tensor]] = torch.jit.script(_run_pass)
    return script


run_pass = _compiled()
"""`(ids, lengths, embeddings, layers, heads, eps, packed, pooling, wants_tokens)` to (vectors, token vectors); see `LeanBert.embed`.

`embeddings` are those of words and positions and their norm; `layers` twelve tensors for each layer; `packed` says that
weights are laid out for oneDNN (those in int8 never are, and have their scales below the bias); `pooling` is a value of `Pooling`.
"""
