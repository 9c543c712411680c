"""Does one hop encode and search, with what was committed a moment before? A web process and a worker on one database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from apps.dialogue.models import Bot
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.indexing import delete_entries
from apps.retrieval.search import followed
from apps.retrieval.search.candidates import find_candidates
from apps.retrieval.search.followed import FollowedVectors
from apps.retrieval.search.nearest import encode_question, vector_search
from apps.retrieval.selectors import scope_of
from core.errors import IndexMismatch, SearchUnavailable
from core.types import SearchMode
from tests.documents import put_documents
from tests.inference_workers import WorkerProcess, redis_url
from tests.search_workers import FAQ, LEAVE, MEALS, PARKING, become_web_process, found, kept_here, put, search_worker
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def url() -> str:
    return redis_url(2)


@pytest.fixture(scope="module")
def started(url: str, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[WorkerProcess]:  # noqa: F811
    with search_worker(url, tiny_folder, tmp_path_factory.mktemp("worker")) as worker:
        yield worker


@pytest.fixture
def worker(started: WorkerProcess, url: str, configure: Callable[..., None]) -> WorkerProcess:
    """The worker of all these tests, and this process one of its web processes."""
    become_web_process(configure, url)
    return started


def hops(role: str) -> float:
    return REGISTRY.get_sample_value("wenlu_remote_seconds_count", {"role": role, "priority": "live"}) or 0.0


def test_a_turn_over_faqs_and_documents_takes_one_hop_and_this_process_keeps_no_vectors(
    worker: WorkerProcess, kb: KnowledgeBase, bot: Bot, api: APIClient
) -> None:
    api.post("/api/v1/kbs/hr/faqs/", {"id": "leave", "questions": [LEAVE], "answer": "Ten."}, format="json")
    put_documents(kb, meals="A meal costs five euros. Guests pay ten.", parking="Park behind the house.")
    before = hops("search"), hops("encoder")
    said = api.post("/api/v1/bots/helper/ask", {"question": "and how many days of leave"}, format="json").json()
    assert said["answer"] == "Ten." and not said["degraded"]
    assert (hops("search"), hops("encoder")) == (before[0] + 1, before[1])
    assert not kept_here()


def test_an_edit_is_found_by_the_next_question_and_what_was_deleted_is_not(worker: WorkerProcess, kb: KnowledgeBase) -> None:
    put(kb, n1=LEAVE, n2=MEALS)
    assert found(kb, PARKING) != []
    put(kb, n3=PARKING)
    assert found(kb, PARKING) == [3]
    delete_entries(kb, FAQ, [3])
    assert sorted(found(kb, PARKING, k=3)) == [1, 2]
    put(kb, n3=LEAVE, n1=PARKING)
    assert (found(kb, PARKING), found(kb, LEAVE)) == ([1], [3])


def test_a_question_asked_before_is_searched_anew(worker: WorkerProcess, kb: KnowledgeBase) -> None:
    put(kb, n1=LEAVE)
    assert found(kb, MEALS) == [1]
    put(kb, n2=MEALS)
    assert found(kb, MEALS) == [2]


def test_finds_by_words_get_their_cosine_from_the_database(worker: WorkerProcess, kb: KnowledgeBase) -> None:
    put(kb, n1=LEAVE, n2=MEALS, n3=PARKING)
    scope = scope_of([kb])
    candidates = find_candidates(LEAVE, encode_question(MEALS), kind=FAQ, scope=scope, k=1)
    by_id = {one.id: one for one in candidates.entries}
    assert not candidates.degraded and set(by_id) == {1, 2} and not kept_here()
    assert by_id[1].cosine == pytest.approx(float(encode_question(LEAVE).vector @ encode_question(MEALS).vector), abs=2e-3)
    assert by_id[1].vector is not None and by_id[1].bm25 > 0


def test_vectors_alone_are_searched_by_the_worker_too(worker: WorkerProcess, kb: KnowledgeBase) -> None:
    put(kb, n1=LEAVE, n2=MEALS)
    candidates = find_candidates(MEALS, encode_question(MEALS), kind=FAQ, scope=scope_of([kb]), k=1, mode=SearchMode.VECTOR)
    assert [one.id for one in candidates.entries] == [2] and not kept_here()


def test_a_search_says_that_the_index_is_behind_while_another_thread_follows(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    put(kb, n1=LEAVE)
    vectors = FollowedVectors()
    encoded, search = encode_question(LEAVE), vector_search(FAQ, scope_of([kb]), 5)
    following, done = threading.Event(), threading.Event()

    def follow() -> None:
        with vectors._follower._lock_of((kb.pk, FAQ)):
            following.set()
            done.wait(5)

    thread = threading.Thread(target=follow)
    thread.start()
    following.wait(5)
    with monkeypatch.context() as patch, pytest.raises(SearchUnavailable) as behind:
        patch.setattr(followed, "FOLLOWING_S", 0.05)
        vectors.search(encoded.vector[None], encoded.encoder, search)
    done.set()
    thread.join()
    assert behind.value.details["reason"] == "behind"
    assert [hit.id for hit in vectors.search(encoded.vector[None], encoded.encoder, search)[0]] == [1]
    vectors.close()


def test_a_worker_follows_vectors_alone_and_refuses_those_of_another_encoder(kb: KnowledgeBase) -> None:
    put(kb, n1=LEAVE)
    vectors = FollowedVectors()
    encoded, search = encode_question(LEAVE), vector_search(FAQ, scope_of([kb]), 5)
    assert vectors.search(encoded.vector[None], encoded.encoder, search)[0][0].id == 1
    assert (indexes_for(FAQ).lexical.ids(kb.pk), indexes_for(FAQ).vector.made_by(encoded.encoder).ids(kb.pk)) == (set(), {1})
    with pytest.raises(IndexMismatch, match="manage.py reindex"):
        vectors.search(encoded.vector[None], "another@1", search)
    vectors.close()
