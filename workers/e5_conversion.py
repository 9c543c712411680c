"""How an `e5-small-q4.bin` becomes a standard Hugging Face folder that transformers and sentence-transformers load too.

Weights are stored as float16: the 4-bit values (float16 scale times an integer of -8..7) fit it to 2^-11, where bfloat16
would lose three bits more at the same size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from core.types import FloatArray, JSONDict
from workers.e5_format import E5File, Shape, Unigram

QUERY_PREFIX = "query: "
PASSAGE_PREFIX = "passage: "
_SPACE_MARK = "▁"
_MAX_SHIELDS = 10
_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def convert(source: Path, folder: Path) -> None:
    """Writes config, weights, tokenizer and pooling of `source` into `folder`. Raises ValueError where it cannot be read."""
    file = E5File(source)
    tokenizer = build_tokenizer(file.unigram)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    save_file(dict(_tensors(file)), folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in _descriptions(file.shape, file.unigram).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def build_tokenizer(unigram: Unigram) -> Tokenizer:
    """The fast tokenizer of XLM-RoBERTa. A literal `<s>` or `<mask>` in a text stays text: it is cut apart after its `<`."""
    tokenizer = Tokenizer(models.Unigram(list(zip(unigram.pieces, unigram.scores, strict=True)), unk_id=unigram.unk))
    tokenizer.normalizer = build_normaliser(unigram)
    specials = [unigram.pieces[index] for index in (unigram.bos, unigram.pad, unigram.eos, unigram.unk, len(unigram.pieces) - 1)]
    names = "|".join(sorted({piece.strip("</>") for piece in specials}))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Metaspace(replacement=_SPACE_MARK, prepend_scheme="always"),
        pre_tokenizers.Split(Regex(f"<(?=/?(?:{names})>)"), "merged_with_previous"),
    ])  # fmt: skip
    bos, eos = unigram.pieces[unigram.bos], unigram.pieces[unigram.eos]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", pair=f"{bos} $A {eos} {eos} $B {eos}", special_tokens=[(bos, unigram.bos), (eos, unigram.eos)]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=_SPACE_MARK, prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in specials])
    return tokenizer


def build_normaliser(unigram: Unigram) -> normalizers.Normalizer:
    """NFKC, made equal to the file's map on every code point.

    Where the two differ, the map drops a character, makes it a blank, or keeps it. Kept ones hide from NFKC behind the
    space mark, which no longer occurs in the text by then: the map itself makes it a blank.
    """
    dropped, blank, kept = _differences(unigram)
    steps: list[normalizers.Normalizer] = [
        normalizers.Replace(Regex(_char_class(dropped)), ""),
        normalizers.Replace(Regex(_char_class(blank)), " "),
    ]
    shields = [(char, f"{_SPACE_MARK}{index}") for index, char in enumerate(kept)]
    steps += [normalizers.Replace(char, shield) for char, shield in shields]
    steps.append(normalizers.NFKC())
    steps += [normalizers.Replace(shield, char) for char, shield in shields]
    return normalizers.Sequence(steps)


def _differences(unigram: Unigram) -> tuple[list[str], list[str], list[str]]:
    """Characters on which NFKC and the map differ: dropped, made a blank, kept."""
    nfkc = normalizers.NFKC()
    found: dict[str, list[str]] = {"": [], " ": [], "kept": []}
    for char in _chars_that_change(unigram, nfkc):
        wanted = unigram.normaliser.get(char, char)
        if nfkc.normalize_str(char) == wanted:
            continue
        kind = "kept" if wanted == char else wanted
        if kind not in found:
            raise ValueError(f"the normaliser turns U+{ord(char):04X} into {wanted!r}, which NFKC and a few exceptions cannot")
        found[kind].append(char)
    if found["kept"] and (_SPACE_MARK not in found[" "] or len(found["kept"]) > _MAX_SHIELDS):
        raise ValueError(f"the normaliser keeps {len(found['kept'])} characters that NFKC changes, and nothing can stand in for them")
    return found[""], found[" "], found["kept"]


def _chars_that_change(unigram: Unigram, nfkc: normalizers.Normalizer) -> Iterator[str]:
    """Every character that map or NFKC may change; whole rows of 256 that neither touches are passed over."""
    for row in range(0, 0x110000, 256):
        chars = "".join(chr(code) for code in range(row, row + 256) if not 0xD800 <= code < 0xE000)
        if nfkc.normalize_str(chars) != chars or not unigram.normaliser.keys().isdisjoint(chars):
            yield from chars


def _char_class(chars: list[str]) -> str:
    return "[" + "".join(f"\\x{{{ord(char):x}}}" for char in chars) + "]"


def _tensors(file: E5File) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor under the name that transformers' BertModel gives it."""
    shape = file.shape
    yield "embeddings.word_embeddings.weight", _half(file.tensor("emb.word"), shape.vocabulary, shape.hidden)
    yield "embeddings.position_embeddings.weight", _half(file.tensor("emb.pos"), shape.positions, shape.hidden)
    yield "embeddings.token_type_embeddings.weight", _half(file.tensor("emb.type"), shape.token_types, shape.hidden)
    yield "embeddings.LayerNorm.weight", _half(file.tensor("emb.ln.w"))
    yield "embeddings.LayerNorm.bias", _half(file.tensor("emb.ln.b"))
    for layer in range(shape.layers):
        for short, name in _LAYER_NAMES.items():
            target = f"encoder.layer.{layer}.{name}"
            bias = _half(file.tensor(f"l{layer}.{short}.b"))
            weight = file.tensor(f"l{layer}.{short}.w")
            yield f"{target}.bias", bias
            yield f"{target}.weight", _half(weight) if short.endswith("ln") else _half(weight, bias.numel(), -1)


def _half(values: FloatArray, *shape: int) -> torch.Tensor:
    return torch.from_numpy(values).to(torch.float16).reshape(shape or (-1,)).contiguous()


def _descriptions(shape: Shape, unigram: Unigram) -> dict[str, JSONDict | list[JSONDict]]:
    """The JSON files that say how weights and tokenizer are used, by their path in the folder."""
    tokens: JSONDict = {
        "bos_token": unigram.pieces[unigram.bos],
        "cls_token": unigram.pieces[unigram.bos],
        "eos_token": unigram.pieces[unigram.eos],
        "sep_token": unigram.pieces[unigram.eos],
        "pad_token": unigram.pieces[unigram.pad],
        "unk_token": unigram.pieces[unigram.unk],
        "mask_token": unigram.pieces[-1],
    }
    return {
        "config.json": _config(shape, unigram),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape.positions,
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": True,
            **tokens,
        },
        "special_tokens_map.json": tokens,
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": shape.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": shape.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": QUERY_PREFIX, "document": PASSAGE_PREFIX, "passage": PASSAGE_PREFIX},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }


def _config(shape: Shape, unigram: Unigram) -> JSONDict:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.token_types,
        "layer_norm_eps": shape.layer_norm_eps,
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "bos_token_id": unigram.bos,
        "eos_token_id": unigram.eos,
        "pad_token_id": unigram.pad,
        "dtype": "float16",
    }
