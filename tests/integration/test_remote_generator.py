"""Do texts end well whatever happens to their worker?"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.config import get_settings
from core.errors import ModelUnavailable
from core.protocols import GenerationRequest
from core.types import FinishReason, Role
from tests.inference_workers import WorkerProcess, redis_url, start_worker, wait_for
from tests.language_models import write_language_model
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures
from workers.dispatch import Dispatcher
from workers.remote import RemoteEncoder, RemoteGenerator

REQUEST = GenerationRequest(messages=(("user", "hello"),), max_tokens=29_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its texts take minutes: they are always stopped in the middle."""
    return write_language_model(tmp_path_factory.mktemp("generator"), endless=True, num_hidden_layers=24, max_position_embeddings=30_000)


@pytest.fixture
def url() -> str:
    return redis_url(13)


@contextmanager
def serving(url: str, **environ: str) -> Iterator[tuple[WorkerProcess, Dispatcher]]:
    """A worker and the way to it."""
    with start_worker(url, {"QA_GENERATOR_PRECISION": "fp32", **environ}) as worker:
        worker.wait_until_alive()
        dispatcher = Dispatcher(get_settings().model_copy(update={"redis_url": url}))
        yield worker, dispatcher
        dispatcher.close()


def test_a_stop_frees_the_place_and_the_heartbeat_says_how_soon(url: str, folder: Path) -> None:
    with serving(url, QA_GENERATOR=str(folder), QA_WORKER_ROLES="generator") as (worker, dispatcher):
        generator = RemoteGenerator(dispatcher)
        for _ in range(3):
            cancel = threading.Event()
            chunks = generator.stream(REQUEST, cancel)
            next(chunks)
            cancel.set()
            last = list(chunks)[-1]
            assert last.finish_reason is FinishReason.CANCELLED
            assert last.usage is not None and last.usage.completion_tokens < 29_000
        left = generator.stream(REQUEST, threading.Event())
        next(left)
        left.close()  # type: ignore[attr-defined]
        wait_for(lambda: (record := worker.record()) is not None and 0 < record.model("generator").stop_p95_ms <= 1000)


def test_a_worker_that_ends_tells_its_readers(url: str, folder: Path) -> None:
    with serving(url, QA_GENERATOR=str(folder), QA_WORKER_ROLES="generator") as (worker, dispatcher):
        chunks = RemoteGenerator(dispatcher).stream(REQUEST, threading.Event())
        next(chunks)
        worker.process.terminate()
        with pytest.raises(ModelUnavailable, match="shut down"):
            list(chunks)


def test_a_worker_that_dies_in_the_middle_of_a_text_is_missed(url: str, folder: Path) -> None:
    with serving(url, QA_GENERATOR=str(folder), QA_WORKER_ROLES="generator") as (worker, dispatcher):
        chunks = RemoteGenerator(dispatcher).stream(REQUEST, threading.Event())
        next(chunks)
        worker.process.kill()
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match="gone"):
            list(chunks)
        assert time.monotonic() - began < 20


def test_a_worker_without_the_weights_says_so_and_serves_its_other_models(url: str, tiny_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    environ = {"QA_ENCODER": str(tiny_folder), "QA_GENERATOR": "smollm2-135m-instruct", "QA_MODEL_DIR": str(tmp_path)}
    with serving(url, **environ) as (worker, dispatcher):
        with pytest.raises(ModelUnavailable, match="models fetch"):
            list(RemoteGenerator(dispatcher).stream(REQUEST, threading.Event()))
        assert RemoteEncoder(dispatcher).encode(["hello"], Role.QUERY).shape == (1, 32)
        assert worker.process.poll() is None


def test_without_a_worker_of_its_role_the_refusal_comes_at_once(url: str, tiny_folder: Path) -> None:  # noqa: F811
    with serving(url, QA_ENCODER=str(tiny_folder), QA_WORKER_ROLES="encoder") as (_, dispatcher):
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match="serves the role generator"):
            list(RemoteGenerator(dispatcher).stream(REQUEST, threading.Event()))
        assert time.monotonic() - began < 5
