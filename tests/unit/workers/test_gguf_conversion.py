from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.language_models import CONTEXT, SPECIALS, TEMPLATE, write_language_model
from tests.unit.workers.gguf_writer import f32, write_gguf
from workers.generator import TorchGenerator
from workers.gguf_conversion import convert

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 8


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("original"), rope_theta=5000.0)


@pytest.fixture
def packed(original: Path, tmp_path: Path) -> Path:
    """The original as llama.cpp's converter writes it: pairs of a rotation side by side."""
    tensors = {}
    for name, weight in load_file(original / "model.safetensors").items():
        part = name.removesuffix(".weight")
        layer = f"blk.{part.split('.')[2]}." if part.startswith("model.layers.") else ""
        own = NAMES[part.split(".", 3)[3] if layer else part]
        values = weight.float().numpy()
        if own in ("attn_q", "attn_k"):
            heads = HEADS if own == "attn_q" else KV_HEADS
            values = values.reshape(heads, 2, HEAD_DIM // 2, -1).swapaxes(1, 2).reshape(values.shape)
        tensors[f"{layer}{own}.weight"] = f32(np.ascontiguousarray(values))
    return write_gguf(tmp_path / "packed.gguf", metadata(original), tensors)


def metadata(original: Path) -> dict[str, object]:
    vocabulary = json.loads((original / "tokenizer.json").read_text())["model"]["vocab"]
    shape = {"block_count": 2, "embedding_length": 32, "feed_forward_length": 64, "context_length": CONTEXT}
    heads = {"attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS}
    numbers = {"rope.freq_base": 5000.0, "attention.layer_norm_rms_epsilon": 1e-6}
    return {
        "general.architecture": "llama",
        **{f"llama.{name}": value for name, value in {**shape, **heads, **numbers}.items()},
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": sorted(vocabulary, key=vocabulary.__getitem__),
        "tokenizer.ggml.token_type": [3 if token in SPECIALS else 1 for token in sorted(vocabulary, key=vocabulary.__getitem__)],
        "tokenizer.ggml.merges": [],
        **{f"tokenizer.ggml.{name}_token_id": index for name, index in {"bos": 1, "eos": 0, "unknown": 0, "padding": 0}.items()},
        "tokenizer.chat_template": TEMPLATE,
    }


def test_the_folder_is_the_model_that_was_packed(original: Path, packed: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "folder"
    folder.mkdir()
    convert(packed, folder)
    before, after = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval() for path in (original, folder))
    ids = torch.tensor([[5, 77, 30, 200, 9, 9, 14]])
    with torch.no_grad():
        torch.testing.assert_close(after(ids).logits, before(ids).logits, atol=0.02, rtol=0)
    chat = (("user", "Where? 在哪里？"),)
    assert TorchGenerator(folder, device="cpu").prompt(chat) == TorchGenerator(original, device="cpu").prompt(chat)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"general.architecture": "bert"}, "no Llama"),
        ({"tokenizer.ggml.pre": "other"}, "SmolLM"),
        ({"llama.block_count": "two"}, "block_count"),
        ({"tokenizer.ggml.merges": 3}, "merges"),
    ],
)
def test_another_model_is_refused_with_the_reason(original: Path, changes: dict[str, object], reason: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "other.gguf", {**metadata(original), **changes}, {})
    with pytest.raises(ValueError, match=reason):
        convert(path, tmp_path)
