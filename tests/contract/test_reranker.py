"""What every Reranker does. A new implementation adds its name to IMPLEMENTATIONS."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from core.config import get_settings
from core.protocols import Reranker
from tests.inference_workers import redis_url, start_worker
from tests.model_folders import make_cross_encoder
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures
from workers.dispatch import Dispatcher
from workers.local import LocalEncoder
from workers.remote import RemoteReranker
from workers.reranker import LocalReranker

IMPLEMENTATIONS = [f"{kind}, {place}" for kind, place in itertools.product(["cross-encoder", "late interaction"], ["local", "remote"])]
QUERY = "how reset the password"
PASSAGES = ["reset the password", "怎么重置密码", "年假有几天", "the the the how", "password" * 3, "a"]
ODD_TEXTS = ["", " ", "😀👨‍👩‍👧", "\x00\x01", "[SEP] </s> [MASK]", "a " * 20_000, "密" * 5000, "\ud800"]


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def reranker(request: pytest.FixtureRequest, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reranker]:  # noqa: F811
    kind, place = request.param.split(", ")
    named = str(make_cross_encoder(tmp_path_factory.mktemp("models") / "tiny-cross")) if kind == "cross-encoder" else ""
    with pytest.MonkeyPatch.context() as environ:
        chosen = {
            "QA_ENCODER": str(tiny_folder),
            "QA_RERANKER": named,
            "QA_DEVICE": "cpu",
            "QA_ENCODER_PRECISION": "fp32",
            "QA_MODEL_PRECISION": "fp32",
        }
        for name, value in chosen.items():
            environ.setenv(name, value)
        get_settings.cache_clear()
        with local_reranker() if place == "local" else remote_reranker(chosen) as made:
            yield made
    get_settings.cache_clear()


@contextmanager
def local_reranker() -> Iterator[LocalReranker]:
    with closing(LocalEncoder()) as encoder, closing(LocalReranker(encoder)) as reranker:
        yield reranker


@contextmanager
def remote_reranker(chosen: dict[str, str]) -> Iterator[RemoteReranker]:
    """A worker with the same model behind a Redis database of this module's."""
    url = redis_url(7)
    with start_worker(url, chosen) as worker:
        worker.wait_until_alive()
        with closing(
            RemoteReranker(Dispatcher(get_settings().model_copy(update={"redis_url": url, "remote_timeout_s": 60.0})))
        ) as reranker:
            yield reranker


def test_it_is_a_reranker(reranker: Reranker) -> None:
    assert isinstance(reranker, Reranker)


def test_each_passage_has_a_score_in_the_order_of_the_passages(reranker: Reranker) -> None:
    scores = reranker.score(QUERY, PASSAGES)
    assert scores.shape == (len(PASSAGES),) and scores.dtype == np.float32
    assert len(set(scores.round(4))) == len(PASSAGES)
    np.testing.assert_allclose(reranker.score(QUERY, PASSAGES[::-1])[::-1], scores, atol=1e-3)


def test_a_passage_has_the_same_score_alone_and_in_company(reranker: Reranker) -> None:
    together = reranker.score(QUERY, PASSAGES)
    alone = np.concatenate([reranker.score(QUERY, [passage]) for passage in PASSAGES])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_the_question_counts(reranker: Reranker) -> None:
    assert np.abs(reranker.score(QUERY, PASSAGES) - reranker.score("年假", PASSAGES)).max() > 0.01


def test_no_passages_have_no_scores(reranker: Reranker) -> None:
    assert reranker.score(QUERY, []).shape == (0,)


@pytest.mark.parametrize("text", ODD_TEXTS, ids=[repr(text[:12]) for text in ODD_TEXTS])
def test_any_text_has_a_score(reranker: Reranker, text: str) -> None:
    assert np.isfinite(reranker.score(QUERY, [text, "reset"])).all()
    assert np.isfinite(reranker.score(text, ["reset", text])).all()


def test_a_passage_that_comes_twice_is_scored_twice(reranker: Reranker) -> None:
    one, two, three = reranker.score(QUERY, ["reset", "password", "reset"])
    assert abs(one - three) < 1e-3 < abs(one - two)


def test_threads_get_the_scores_of_their_own_questions(reranker: Reranker) -> None:
    questions = [f"{word} {letter}" for word, letter in itertools.product(["how", "reset", "密码"], "abcdefgh")]
    expected, got = {question: reranker.score(question, PASSAGES) for question in questions}, {}
    threads = [threading.Thread(target=lambda text=text: got.update({text: reranker.score(text, PASSAGES)})) for text in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for question in questions:
        np.testing.assert_allclose(got[question], expected[question], atol=1e-3)
