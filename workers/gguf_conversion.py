"""How a GGUF file of a Llama model becomes a standard Hugging Face folder: configuration, weights, tokenizer and chat template.

Weights are stored as float16, as `e5_conversion` explains. GGUF keeps the rows of query and key in another order (pairs of
a rotation side by side); here they are put back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from core.types import JSONDict
from workers.gguf import GGUFFile

_CONTROL = 3
_OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(source: Path, folder: Path) -> None:
    """Writes what transformers needs of the Llama model in `source` into `folder`. Raises ValueError where it cannot be read."""
    file = GGUFFile(source)
    llama = _Llama.read(file)
    build_tokenizer(file).save(str(folder / "tokenizer.json"), pretty=False)
    save_file(dict(_weights(file, llama)), folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in _descriptions(file, llama).items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def build_tokenizer(file: GGUFFile) -> Tokenizer:
    """The byte-level BPE of SmolLM: digits stand alone, then GPT-2's rules. Control tokens are special."""
    if (file.metadata.get("tokenizer.ggml.model"), file.metadata.get("tokenizer.ggml.pre")) != ("gpt2", "smollm"):
        raise ValueError("its tokenizer is not the one of SmolLM")
    tokens = _list(file, "tokenizer.ggml.tokens")
    merges = [tuple(str(pair).split(" ")) for pair in _list(file, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({str(token): index for index, token in enumerate(tokens)}, merges))  # type: ignore[arg-type]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = _list(file, "tokenizer.ggml.token_type")
    tokenizer.add_special_tokens(
        [AddedToken(str(token), special=True, normalized=False) for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    )
    return tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class _Llama:
    """The shape of the model."""

    layers: int
    dim: int
    inner: int
    heads: int
    kv_heads: int
    positions: int
    theta: float
    eps: float

    @classmethod
    def read(cls, file: GGUFFile) -> _Llama:
        if file.metadata.get("general.architecture") != "llama":
            raise ValueError("it holds no Llama model")

        def number(name: str) -> float:
            value = file.metadata.get(f"llama.{name}")
            if not isinstance(value, int | float):
                raise ValueError(f"it does not say llama.{name}")
            return value

        return cls(
            layers=int(number("block_count")),
            dim=int(number("embedding_length")),
            inner=int(number("feed_forward_length")),
            heads=int(number("attention.head_count")),
            kv_heads=int(number("attention.head_count_kv")),
            positions=int(number("context_length")),
            theta=number("rope.freq_base"),
            eps=number("attention.layer_norm_rms_epsilon"),
        )


def _weights(file: GGUFFile, llama: _Llama) -> Iterator[tuple[str, Tensor]]:
    for name in file.names():
        part, _, kind = name.rpartition(".")
        tensor = torch.from_numpy(file.tensor(name))
        if part.startswith("blk."):
            _, layer, own = part.split(".")
            if own not in _LAYER_NAMES:
                raise ValueError(f"the tensor {name!r} is none of a Llama model's")
            if own in ("attn_q", "attn_k"):
                tensor = _in_halves(tensor, llama.heads if own == "attn_q" else llama.kv_heads)
            yield f"model.layers.{layer}.{_LAYER_NAMES[own]}.{kind}", tensor.half().contiguous()
        elif part in _OUTER_NAMES:
            yield f"{_OUTER_NAMES[part]}.{kind}", tensor.half().contiguous()


def _in_halves(weight: Tensor, heads: int) -> Tensor:
    """The rows of each head with the first parts of all its pairs before the second ones."""
    rows = weight.shape[0] // heads
    return weight.reshape(heads, rows // 2, 2, -1).transpose(1, 2).reshape(weight.shape)


def _descriptions(file: GGUFFile, llama: _Llama) -> dict[str, JSONDict]:
    tokens = _list(file, "tokenizer.ggml.tokens")
    bos, eos, unknown, pad = (
        int(str(file.metadata[f"tokenizer.ggml.{name}_token_id"])) for name in ("bos", "eos", "unknown", "padding")
    )  # fmt: skip
    ids: JSONDict = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad}
    return {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(tokens),
            "hidden_size": llama.dim,
            "intermediate_size": llama.inner,
            "num_hidden_layers": llama.layers,
            "num_attention_heads": llama.heads,
            "num_key_value_heads": llama.kv_heads,
            "max_position_embeddings": llama.positions,
            "rope_theta": llama.theta,
            "rms_norm_eps": llama.eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": "output.weight" not in file.names(),
            "dtype": "float16",
            **ids,
        },
        "generation_config.json": {**ids},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": str(tokens[bos]),
            "eos_token": str(tokens[eos]),
            "unk_token": str(tokens[unknown]),
            "pad_token": str(tokens[pad]),
            "model_max_length": llama.positions,
            "clean_up_tokenization_spaces": False,
            "chat_template": str(file.metadata["tokenizer.chat_template"]),
        },
    }


def _list(file: GGUFFile, name: str) -> list[object]:
    found = file.metadata.get(name)
    if not isinstance(found, list):
        raise ValueError(f"it has no list {name}")
    return list(found)
