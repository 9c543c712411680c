"""Tiny language models with random weights for tests that need no meaning: real folders, as transformers writes them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIALS = ["<|end|>", "<|begin|>"]
TEMPLATE = "{% for message in messages %}<|begin|>{{ message['role'] + ': ' + message['content'] }}\n{% endfor %}<|begin|>assistant:"
CONTEXT = 512


def write_language_model(folder: Path, kind: str = "llama", *, endless: bool = False, **changes: object) -> Path:
    """A model of this kind (llama, qwen2, qwen3, gemma2, ...) whose tokens are bytes; fills and returns `folder`.

    An `endless` one never finds its end token the likeliest, so that greedy texts end by their limits alone.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    facts = {
        "vocab_size": 256 + len(SPECIALS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**facts, **changes}))
    if endless:
        model.get_output_embeddings().weight.data[0] = 0
    model.save_pretrained(folder)
    _tokenizer().save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIALS[0], "bos_token": SPECIALS[1], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def _tokenizer() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: index for index, piece in enumerate([*SPECIALS, *letters])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(special, special=True, normalized=False) for special in SPECIALS])
    return tokenizer
