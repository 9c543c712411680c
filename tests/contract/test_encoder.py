"""What every Encoder does, with the default model's real weights. A new implementation adds its name to IMPLEMENTATIONS."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest
import torch

from core.config import get_settings
from core.errors import ModelUnavailable
from core.protocols import Encoder
from core.types import Role
from tests.inference_workers import redis_url, start_worker
from workers.dispatch import Dispatcher
from workers.local import LocalEncoder
from workers.remote import RemoteEncoder
from workers.weights import materialise

IMPLEMENTATIONS = ["local", "remote"]
MODEL = "multilingual-e5-small"
QUESTIONS = ["怎么重置密码？", "How do I reset my password?", "年假有几天", "Where is the canteen?", "我的VPN连不上 what now"]
ODD_TEXTS = ["", " ", "😀👨‍👩‍👧", "\x00\x01", "<s></s><mask>", "a" * 20_000, "密" * 5000, "\ud800"]


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    try:
        materialise(MODEL, get_settings().models_folder / MODEL)
    except ModelUnavailable as error:
        pytest.skip(f"the weights of {MODEL} cannot be had here: {error}")
    with closing(LocalEncoder()) if request.param == "local" else remote_encoder() as made:
        yield made


@contextmanager
def remote_encoder() -> Iterator[RemoteEncoder]:
    """A worker with the same model behind a Redis database of this module's."""
    url = redis_url(8)
    settings = get_settings().model_copy(update={"redis_url": url})
    with start_worker(url, {"QA_ENCODER": MODEL, "QA_MODEL_DIR": str(settings.models_folder)}) as worker:
        worker.wait_until_alive()
        with closing(RemoteEncoder(Dispatcher(settings))) as encoder:
            yield encoder


def test_it_is_an_encoder(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.model_id.startswith(MODEL) and encoder.dim == 384


def test_rows_are_unit_vectors_in_the_order_of_the_texts(encoder: Encoder) -> None:
    vectors = encoder.encode(QUESTIONS, Role.QUERY)
    assert vectors.shape == (5, encoder.dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    backwards = encoder.encode(QUESTIONS[::-1], Role.QUERY)[::-1]
    assert (vectors * backwards).sum(1).min() > 0.9999


def test_meaning_crosses_languages_and_wording(encoder: Encoder) -> None:
    zh, en, leave, canteen, _vpn = encoder.encode(QUESTIONS, Role.QUERY)
    assert zh @ en > max(zh @ leave, zh @ canteen, en @ canteen)
    passages = encoder.encode(
        ["Open Settings, choose Security and set a new password.", "Lunch is served on the second floor."], Role.PASSAGE
    )
    assert zh @ passages[0] > zh @ passages[1] and canteen @ passages[1] > canteen @ passages[0]


def test_a_question_has_one_vector_however_it_is_asked_for(encoder: Encoder) -> None:
    query = encoder.encode_query(QUESTIONS[0])
    ((vector, tokens),) = encoder.encode_tokens(QUESTIONS[:1], Role.QUERY)
    assert query.vector @ vector > 0.9999 and query.encoder == encoder.model_id
    assert query.token_vectors is not None and query.token_vectors.shape == tokens.shape
    assert (query.token_vectors * tokens).sum(1).min() > 0.999


def test_token_vectors_belong_to_the_texts_own_words(encoder: Encoder) -> None:
    ((_, short), (_, long)) = encoder.encode_tokens(["password", "password password password"], Role.PASSAGE)
    assert len(long) == 3 * len(short)
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("text", ODD_TEXTS, ids=[repr(text[:12]) for text in ODD_TEXTS])
def test_any_text_has_a_vector(encoder: Encoder, text: str) -> None:
    assert np.isfinite(encoder.encode_query(text).vector).all()
    assert np.isfinite(encoder.encode([text], Role.PASSAGE)).all()


def test_threads_get_the_vectors_of_their_own_questions(encoder: Encoder) -> None:
    questions = [f"{question} {number}" for question, number in itertools.product(QUESTIONS, range(8))]
    expected, got = encoder.encode(questions, Role.QUERY), {}
    threads = [threading.Thread(target=lambda text=text: got.update({text: encoder.encode_query(text).vector})) for text in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert min(expected[index] @ got[text] for index, text in enumerate(questions)) > 0.999


def test_transformers_gives_the_same_vectors_from_the_same_folder(encoder: Encoder) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = get_settings().models_folder / MODEL
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = [model(**tokenizer(f"query: {question}", return_tensors="pt")).last_hidden_state for question in QUESTIONS]
    expected = torch.nn.functional.normalize(torch.cat([states.mean(1) for states in hidden]), dim=1).numpy()
    assert (encoder.encode(QUESTIONS, Role.QUERY) * expected).sum(1).min() > 0.9999
