from pathlib import Path

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from core.types import Role
from workers.sentence_model import SentenceModel, read_sentence_model
from workers.tokens import TextTokenizer


@pytest.fixture
def model(tiny_folder: Path) -> SentenceModel:
    return read_sentence_model(tiny_folder)


def pieces(model: SentenceModel, ids: list[int]) -> list[str]:
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    return [tokenizer.id_to_token(token) for token in ids]


def test_the_texts_own_tokens_lie_between_prefix_and_end(model: SentenceModel) -> None:
    (text,) = TextTokenizer(model).tokenize(["reset the password"], Role.QUERY)
    assert pieces(model, text.ids) == ["<s>", "▁query", ":", "▁reset", "▁the", "▁password", "</s>"]
    assert pieces(model, text.ids[text.start : text.end]) == ["▁reset", "▁the", "▁password"]


def test_an_empty_text_has_no_tokens_of_its_own(model: SentenceModel) -> None:
    (text,) = TextTokenizer(model).tokenize([""], Role.PASSAGE)
    assert text.start == text.end


def test_one_text_and_many_are_tokenised_alike(model: SentenceModel) -> None:
    tokenizer = TextTokenizer(model)
    texts = ["reset", "怎么重置密码", "x <s> y"]
    assert tokenizer.tokenize(texts, Role.QUERY) == [tokenizer.tokenize([text], Role.QUERY)[0] for text in texts]


def test_a_tokenizer_that_takes_specials_from_text_cannot_smuggle_them_in(model: SentenceModel, tmp_path: Path) -> None:
    careless = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    careless.pre_tokenizer = pre_tokenizers.Metaspace()
    careless.save(str(tmp_path / "tokenizer.json"))
    foreign = SentenceModel(folder=tmp_path, config={}, pooling=model.pooling, max_tokens=32, prefixes=model.prefixes)
    (text,) = TextTokenizer(foreign).tokenize(["a<s>b"], Role.QUERY)
    assert pieces(foreign, text.ids[text.start : text.end])[-2:] == ["<unk>", "b"]
    assert text.ids.count(0) == 1
