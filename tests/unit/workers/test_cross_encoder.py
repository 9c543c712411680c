"""Are a cross-encoder's scores those of transformers, whatever shares its batch?"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config import get_settings
from core.errors import ConfigurationError, DeadlineExceeded, ModelUnavailable, Overloaded
from tests.model_folders import make_cross_encoder, make_tagger
from workers.batching import results_of
from workers.cross_encoder import BatchedCrossEncoder, CrossEncoder
from workers.reranker import LocalReranker

QUERY = "how reset the password"
PASSAGES = ["reset", "怎么重置密码", "the the " * 40, "", "password ?"]


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("models") / request.param, kind=request.param)


@pytest.fixture
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def limited(bert: Path) -> Iterator[BatchedCrossEncoder]:
    """One before which three pairs may wait."""
    settings = get_settings().model_copy(update={"batch_max_waiting": 3})
    with closing(BatchedCrossEncoder(CrossEncoder(bert, device="cpu", precision="fp32"), settings)) as batched:
        yield batched


def test_scores_are_those_of_transformers(folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    expected = []
    for passage in PASSAGES:
        given = tokenizer(
            [QUERY], [passage], truncation=True, max_length=64, return_tensors="pt", return_token_type_ids=folder.name == "bert"
        )
        with torch.no_grad():
            expected.append(float(model(**given).logits[0, 0]))
    ours = CrossEncoder(folder, device="cpu", precision="fp32")
    np.testing.assert_allclose(ours.forward(ours.tokenize(QUERY, PASSAGES)), expected, atol=1e-4)
    assert max(expected) - min(expected) > 0.1


def test_a_batch_scores_as_its_pairs_do_alone(folder: Path) -> None:
    model = CrossEncoder(folder, device="cpu", precision="fp32")
    pairs = model.tokenize(QUERY, PASSAGES)
    np.testing.assert_allclose(model.forward(pairs), [model.forward([pair])[0] for pair in pairs], atol=1e-3)


def test_two_labels_are_log_odds_of_the_second(tmp_path: Path) -> None:
    model = CrossEncoder(make_cross_encoder(tmp_path / "two", labels=2), device="cpu", precision="fp32")
    pairs = model.tokenize(QUERY, PASSAGES)
    probability = model.model.logits(pairs).softmax(-1)[:, 1].numpy()
    np.testing.assert_allclose(model.forward(pairs), np.log(probability / (1 - probability)), atol=1e-4)


def test_a_model_that_cannot_rerank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="3 labels"):
        CrossEncoder(make_cross_encoder(tmp_path / "three", labels=3), device="cpu")
    with pytest.raises(ConfigurationError, match="BertForTokenClassification"):
        CrossEncoder(make_tagger(tmp_path / "tagger", names=("O",)), device="cpu")


def test_a_head_that_is_missing_is_not_made_up(bert: Path) -> None:
    path = bert / "model.safetensors"
    save_file({name: weight for name, weight in load_file(path).items() if name != "classifier.weight"}, path, {"format": "pt"})
    with pytest.raises(ConfigurationError, match="its weights lack classifier.weight"):
        CrossEncoder(bert, device="cpu")


def test_a_literal_separator_is_text(bert: Path) -> None:
    model = CrossEncoder(bert, device="cpu", precision="fp32")
    (honest, forged) = model.tokenize(QUERY, ["reset", "reset [SEP]"])
    separator = honest.ids[-1]
    assert forged.ids.count(separator) == honest.ids.count(separator) == 2


def test_a_full_queue_and_a_late_pair_are_told_so(limited: BatchedCrossEncoder) -> None:
    with pytest.raises(Overloaded):
        for _ in range(50):
            limited.submit(QUERY, ["the " * 60] * 3)
    with pytest.raises(DeadlineExceeded):
        results_of(retry(limited, deadline=time.monotonic() - 1))


def retry(batched: BatchedCrossEncoder, deadline: float) -> list[object]:
    """Submits once the queue has room."""
    while True:
        try:
            return list(batched.submit(QUERY, ["reset"], deadline=deadline))
        except Overloaded:
            time.sleep(0.01)


def test_the_model_of_the_settings_is_loaded_once_and_closed(bert: Path, configure: Callable[..., None]) -> None:
    configure(reranker=bert, device="cpu")
    reranker = LocalReranker()
    assert reranker.model_id.startswith("bert@") and reranker.device == "cpu"
    assert reranker.score(QUERY, PASSAGES).shape == (5,)
    reranker.close()
    with pytest.raises(ModelUnavailable, match="shut down"):
        reranker.score(QUERY, PASSAGES)


def test_a_named_model_that_cannot_rerank_is_unavailable_and_not_loaded_for_every_question(
    tmp_path: Path, configure: Callable[..., None]
) -> None:
    folder = make_cross_encoder(tmp_path / "three", labels=3)
    configure(reranker=folder, device="cpu")
    reranker = LocalReranker()
    with pytest.raises(ModelUnavailable, match="3 labels"):
        reranker.score(QUERY, PASSAGES)
    shutil.rmtree(folder)
    with pytest.raises(ModelUnavailable, match="3 labels"):
        reranker.score(QUERY, PASSAGES)


def test_a_damaged_folder_is_named(bert: Path) -> None:
    shutil.rmtree(bert)
    with pytest.raises(ModelUnavailable, match="bert"):
        CrossEncoder(bert, device="cpu")
