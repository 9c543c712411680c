"""Small models with random weights in real architectures, as folders that transformers loads: for tests that need no meaning."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, BertConfig, XLMRobertaConfig

BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
XLMR_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
WORDS = [
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *"怎么重置密码年假有几天北京上海张三",
    "password",
    "reset",
    "the",
    "how",
    "?",
    "。",
]
SPREAD = 0.3  # of the weights: transformers' own 0.02 would leave all scores nearly equal


def make_cross_encoder(folder: Path, *, kind: str = "bert", labels: int = 1) -> Path:
    """A cross-encoder whose scores differ clearly from pair to pair."""
    return _save(folder, kind, AutoModelForSequenceClassification, {index: f"LABEL_{index}" for index in range(labels)})


def make_tagger(folder: Path, *, names: tuple[str, ...] = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")) -> Path:
    """A token classifier with these labels."""
    return _save(folder, "bert", AutoModelForTokenClassification, dict(enumerate(names)))


def _save(folder: Path, kind: str, head: type, names: dict[int, str]) -> Path:
    torch.manual_seed(11)
    specials = BERT_SPECIALS if kind == "bert" else XLMR_SPECIALS
    _tokenizer(kind, specials).save(str(_made(folder) / "tokenizer.json"))
    sizes = {
        "vocab_size": len(specials) + len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64 + (kind != "bert") * 2,
        "initializer_range": SPREAD,
        "id2label": names,
        "label2id": {name: index for index, name in names.items()},
    }
    config = BertConfig(**sizes) if kind == "bert" else XLMRobertaConfig(**sizes, type_vocab_size=1, pad_token_id=1)
    head.from_config(config).save_pretrained(folder)  # type: ignore[attr-defined]
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tokenizer(kind: str, specials: list[str]) -> Tokenizer:
    unknown, first, last = ("[UNK]", "[CLS]", "[SEP]") if kind == "bert" else ("<unk>", "<s>", "</s>")
    vocabulary = {word: index for index, word in enumerate([*specials, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(specials)
    pair = f"{first} $A {last} $B:1 {last}:1" if kind == "bert" else f"{first} $A {last} {last} $B {last}"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=pair, special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])]
    )
    return tokenizer
