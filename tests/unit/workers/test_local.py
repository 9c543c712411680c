from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core.config import get_settings
from core.errors import ModelUnavailable
from core.types import Role
from workers import local
from workers.encoder import TorchEncoder
from workers.local import LocalEncoder


@pytest.fixture
def settings(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("QA_ENCODER", str(tiny_folder))
    monkeypatch.setenv("QA_DEVICE", "cpu")
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


@pytest.fixture
def encoder(settings: pytest.MonkeyPatch) -> Iterator[LocalEncoder]:
    encoder = LocalEncoder()
    yield encoder
    encoder.close()


def test_many_texts_keep_their_order_through_small_chunks(encoder: LocalEncoder, settings: pytest.MonkeyPatch, tiny_folder: Path) -> None:
    settings.setattr(local, "CHUNK_TEXTS", 16)
    texts = [f"reset {'the ' * (number % 9)}{number}" for number in range(100)]
    expected = TorchEncoder(tiny_folder, device="cpu").encode(texts, Role.PASSAGE)
    assert (encoder.encode(texts, Role.PASSAGE) * expected).sum(1).min() > 0.999


def test_an_import_never_fills_its_own_queue(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("QA_BATCH_MAX_WAITING", "4")
    get_settings.cache_clear()
    encoder = LocalEncoder()
    _, batcher = encoder._model.get()
    with ThreadPoolExecutor(1) as caller:
        with batcher._model:  # the model is busy
            vectors = caller.submit(encoder.encode, [f"reset {number}" for number in range(60)], Role.PASSAGE)
            while batcher.waiting() < 4 and not vectors.done():
                time.sleep(0.01)
        assert vectors.result(10).shape == (60, 32)
    encoder.close()


def test_a_list_of_nothing_gives_no_rows(encoder: LocalEncoder) -> None:
    assert encoder.encode([], Role.QUERY).shape == (0, 32)
    assert encoder.encode_tokens([], Role.QUERY) == []


def test_a_repeated_question_is_answered_from_memory_and_equal(encoder: LocalEncoder) -> None:
    encoder.load()
    first, again = encoder.encode_query("how reset the password"), encoder.encode_query("how reset the password")
    assert again.vector is first.vector
    assert first.token_vectors is not None and again.token_vectors is not None
    np.testing.assert_array_equal(first.token_vectors, again.token_vectors)
    assert again.encoder == encoder.model_id


def test_a_remembered_question_keeps_no_batch_in_memory(encoder: LocalEncoder) -> None:
    vector = encoder.encode_query("reset").vector
    assert vector.base is None and vector.nbytes == 32 * 4


def test_only_as_many_questions_are_remembered_as_set(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("QA_EMBEDDING_CACHE_ENTRIES", "0")
    get_settings.cache_clear()
    encoder = LocalEncoder()
    assert encoder.encode_query("reset").vector is not encoder.encode_query("reset").vector
    encoder.close()


def test_a_missing_model_says_how_to_get_it_at_first_use(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings.setenv("QA_ENCODER", "multilingual-e5-small")
    settings.setenv("QA_MODEL_DIR", str(tmp_path))
    get_settings.cache_clear()
    encoder = LocalEncoder()
    with pytest.raises(ModelUnavailable, match="models fetch"):
        encoder.encode_query("hello")


def test_after_closing_it_serves_nobody(encoder: LocalEncoder) -> None:
    encoder.load()
    encoder.close()
    with pytest.raises(ModelUnavailable, match="shut down"):
        encoder.encode_query("reset")
