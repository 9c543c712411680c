"""Who searches vectors when the worker that should is killed, late, broken or not there at all?"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from apps.dialogue.models import Bot
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.indexing import delete_entries
from apps.retrieval.search import nearest
from apps.retrieval.search.nearest import spare_vectors
from tests.inference_workers import WorkerProcess, redis_url
from tests.search_workers import FAQ, LEAVE, MEALS, become_web_process, found, kept_here, put, search_worker
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)
Serve = Callable[..., AbstractContextManager[WorkerProcess]]


@pytest.fixture(scope="module")
def url() -> str:
    return redis_url(3)


@pytest.fixture
def serve(url: str, tiny_folder: Path, tmp_path: Path, django_db_setup: None) -> Serve:  # noqa: F811
    """Starts a worker that encodes and searches, with indexes of its own in `tmp_path`."""
    return partial(search_worker, url, tiny_folder, tmp_path)


@pytest.fixture(autouse=True)
def web(url: str, configure: Callable[..., None]) -> Iterator[None]:
    """This process is a web process that encodes and searches in workers."""
    become_web_process(configure, url, remote_timeout_s=3)
    yield
    spare_vectors().close()
    spare_vectors.cache_clear()


def fallbacks(reason: str) -> float:
    return REGISTRY.get_sample_value("wenlu_search_fallbacks_total", {"reason": reason}) or 0.0


def test_a_worker_that_was_killed_begins_where_the_database_is(serve: Serve, kb: KnowledgeBase) -> None:
    with serve() as worker:
        put(kb, n1=LEAVE, n2=MEALS)
        assert found(kb, MEALS) == [2]
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
    delete_entries(kb, FAQ, [2])
    with serve():
        assert found(kb, MEALS, k=5) == [1]


def test_a_worker_that_ends_leaves_a_snapshot_of_the_generation_in_force(serve: Serve, kb: KnowledgeBase, tmp_path: Path) -> None:
    with serve() as worker:
        put(kb, n1=LEAVE, n2=MEALS)
        assert found(kb, MEALS) == [2]
        worker.process.terminate()
        assert worker.process.wait(20) == 0
    (saved,) = (tmp_path / "indexes" / "faq" / str(kb.pk)).glob("vectors-*/manifest.json")
    manifest = json.loads(saved.read_text())
    assert manifest["built_with"].startswith("1:tiny") and manifest["revision"] == kb.revision
    assert not (tmp_path / "indexes" / "faq" / str(kb.pk) / "lexical").exists()


def test_where_no_worker_searches_this_process_does_and_forgets_it_when_nobody_asks(
    serve: Serve, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(QA_WORKER_ROLES="encoder"):
        put(kb, n1=LEAVE, n2=MEALS)
        before = fallbacks("unserved")
        assert found(kb, MEALS) == [2]
        assert fallbacks("unserved") == before + 1 and kept_here()
        monkeypatch.setattr(nearest, "IDLE_S", 0.0)
        spare_vectors().release_if_idle()
        assert not kept_here()
        delete_entries(kb, FAQ, [2])
        assert found(kb, MEALS, k=5) == [1]


def test_a_worker_that_is_behind_is_asked_again_until_it_has_come(serve: Serve, kb: KnowledgeBase) -> None:
    with serve(QA_WORKER_VECTORS="tests.searchers.BehindAtFirst"):
        put(kb, n1=LEAVE)
        assert found(kb, LEAVE) == [7] and not kept_here()


def test_a_worker_that_stays_behind_is_waited_for_no_longer_than_the_deadline(serve: Serve, kb: KnowledgeBase) -> None:
    with serve(QA_WORKER_VECTORS="tests.searchers.EverBehind"):
        put(kb, n1=LEAVE, n2=MEALS)
        before = fallbacks("behind")
        assert found(kb, MEALS) == [2]
        assert fallbacks("behind") == before + 1


def test_an_index_that_breaks_in_the_worker_takes_nothing_from_the_encoding(serve: Serve, kb: KnowledgeBase) -> None:
    with serve(QA_WORKER_VECTORS="tests.searchers.Broken") as worker:
        put(kb, n1=LEAVE, n2=MEALS)
        assert found(kb, MEALS) == [2]
        assert worker.process.poll() is None


def test_without_any_worker_words_answer(kb: KnowledgeBase, bot: Bot, api: APIClient) -> None:
    api.post("/api/v1/kbs/hr/faqs/", {"id": "leave", "questions": [LEAVE], "answer": "Ten."}, format="json")
    said = api.post("/api/v1/bots/helper/ask", {"question": LEAVE}, format="json").json()
    assert said["answer"] == "Ten." and said["degraded"]
