from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.normalizers import Normalizer
from transformers import AutoModel, AutoTokenizer

from core.types import Role
from workers.e5_conversion import build_normaliser, build_tokenizer
from workers.e5_format import Unigram
from workers.encoder import TorchEncoder

ASSIGNED = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x2FA20))]


def test_the_normaliser_equals_the_files_map_on_every_code_point(unigram: Unigram, normaliser: Normalizer) -> None:
    assert [char for char in ASSIGNED if normaliser.normalize_str(char) != unigram.normaliser.get(char, char)] == []


def test_a_kept_character_survives_beside_others(normaliser: Normalizer) -> None:
    assert normaliser.normalize_str("９点～１０点▁ok\u200b") == "9点～10点 ok "


def test_a_map_that_nfkc_cannot_express_is_refused(unigram: Unigram) -> None:
    with pytest.raises(ValueError, match=r"U\+0061"):
        build_normaliser(replace(unigram, normaliser={**unigram.normaliser, "a": "b"}))


@pytest.fixture(scope="module")
def tokenizer(unigram: Unigram) -> Tokenizer:
    tokenizer = build_tokenizer(unigram)
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.parametrize("text", ["<s>", "a</s>b", "<mask>", "＜s＞", "<pad> <unk>"])
def test_the_name_of_a_special_token_stays_text(unigram: Unigram, tokenizer: Tokenizer, text: str) -> None:
    special = {0, 1, 2, len(unigram.pieces) - 1}
    assert special.isdisjoint(tokenizer.encode(text, add_special_tokens=False).ids)


def test_white_space_of_any_kind_separates_words_once(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("  reset \t\n the　password ").tokens == ["<s>", "▁reset", "▁the", "▁password", "</s>"]


def test_transformers_gives_the_same_vectors_from_the_folder(tiny_folder: Path) -> None:
    texts = ["query: how reset the password?", "query: 怎么重置密码 <s>"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    model = AutoModel.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
    mask = inputs["attention_mask"][:, :, None]
    expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
    ours = TorchEncoder(tiny_folder, device="cpu", precision="fp32").encode([text.removeprefix("query: ") for text in texts], Role.QUERY)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
