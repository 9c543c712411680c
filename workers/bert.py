"""How the weights of BERT and XLM-RoBERTa are laid out for one fast forward pass.

The same mathematics as transformers' BertModel (Devlin et al. 2019) without its modules: half of the time of one short
question is Python there. On CPUs the weights are laid out for oneDNN once, which halves the time again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.types import JSONDict
from workers.bert_pass import run_pass
from workers.sentence_model import Pooling

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


class LeanBert:
    """The encoder stack of one model on one device. `weights` are named as in transformers, with any prefix.

    Word embeddings, most of a multilingual model, keep the number format and the mapped file they come in: only the rows
    of a batch are converted, and processes of one machine share the file's pages. With `quantised` the linear layers, all
    that is multiplied by weights, are int8 with a scale for each output.
    """

    def __init__(
        self, config: JSONDict, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype, *, quantised: bool = False
    ) -> None:
        prefix = next(name for name in weights if name.endswith("embeddings.word_embeddings.weight")).removesuffix(
            "embeddings.word_embeddings.weight"
        )
        self._weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
        self._device, self._dtype, self._quantised = device, dtype, quantised
        self._packs = device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        self.dim = int(str(config["hidden_size"]))
        first = int(str(config.get("pad_token_id", 1))) + 1 if config.get("model_type") in _ROBERTA_TYPES else 0
        types = self._get("embeddings.token_type_embeddings.weight")
        self._embeddings = [
            self._weights["embeddings.word_embeddings.weight"].to(device),
            self._get("embeddings.position_embeddings.weight")[first:] + types[0],
            *self._norm("embeddings.LayerNorm"),
        ]
        self._layers = [tensor for index in range(int(str(config["num_hidden_layers"]))) for tensor in self._layer(index)]
        self._heads = int(str(config["num_attention_heads"]))
        self._eps = float(str(config.get("layer_norm_eps", 1e-12)))
        self._weights.clear()

    def embed(self, ids: Tensor, lengths: Tensor | None, pooling: Pooling, *, wants_tokens: bool) -> tuple[Tensor, Tensor]:
        """Unit vectors float32 [texts, dim], and those of the tokens [texts, longest, dim] where wanted, else an empty tensor.

        `ids` are right-padded, int64 [texts, longest]; `lengths` [texts] is None where none is padded.
        """
        return run_pass(ids, lengths, self._embeddings, self._layers, self._heads, self._eps, self._packs, pooling.value, wants_tokens)

    def _layer(self, index: int) -> list[Tensor]:
        """The tensors of one layer in the order in which `run_pass` takes them."""
        base = f"encoder.layer.{index}."
        parts = [f"{base}attention.self.{name}" for name in ("query", "key", "value")]
        return [
            *self._laid_out(
                torch.cat([self._get(f"{part}.weight") for part in parts]), torch.cat([self._get(f"{part}.bias") for part in parts])
            ),
            *self._linear(f"{base}attention.output.dense"),
            *self._norm(f"{base}attention.output.LayerNorm"),
            *self._linear(f"{base}intermediate.dense"),
            *self._linear(f"{base}output.dense"),
            *self._norm(f"{base}output.LayerNorm"),
        ]

    def _linear(self, name: str) -> list[Tensor]:
        return self._laid_out(self._get(f"{name}.weight"), self._get(f"{name}.bias"))

    def _norm(self, name: str) -> list[Tensor]:
        return [self._get(f"{name}.weight"), self._get(f"{name}.bias")]

    def _laid_out(self, weight: Tensor, bias: Tensor) -> list[Tensor]:
        if self._quantised:
            return quantise(weight, bias)
        return [torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS_HINT) if self._packs else weight, bias]

    def _get(self, name: str) -> Tensor:
        return self._weights[name].to(device=self._device, dtype=self._dtype)


def quantise(weight: Tensor, bias: Tensor) -> list[Tensor]:
    """int8 [in, out] and float32 [2, out], the bias above the scale of each output: `weight` is its int8 transposed, times the scale."""
    scales = weight.float().abs().amax(1).clamp_min(1e-12) / 127.0
    rounded = torch.round(weight.float() / scales[:, None]).to(torch.int8)
    return [rounded.t().contiguous(), torch.stack([bias.float(), scales])]
