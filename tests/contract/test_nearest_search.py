"""What every NearestSearch does. A new implementation adds its name to IMPLEMENTATIONS and a branch to `nearest`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from apps.accounts.permissions import Caller
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.indexing import delete_entries, put_entries
from apps.retrieval.outbox.rebuilding import rebuild
from apps.retrieval.search.nearest import nearest_search, vector_search
from apps.retrieval.selectors import scope_of
from apps.retrieval.vectors.encoding import encode_texts
from core.errors import IndexMismatch
from core.protocols import NearestSearch
from core.types import EntryKind, Facts, Filters, FloatArray, VectorSearch
from tests.inference_workers import redis_url
from tests.search_workers import become_web_process, search_worker
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)
IMPLEMENTATIONS = ["local", "remote"]
FAQ = EntryKind.FAQ
LEAVE, MEALS, PARKING = "how many days of leave", "what does a meal cost", "where can I park"


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def worker_redis(
    request: pytest.FixtureRequest,
    django_db_setup: None,
    tiny_folder: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The Redis of a worker that encodes and searches; empty where this process does both."""
    if request.param == "local":
        yield ""
        return
    url = redis_url(1)
    data = tmp_path_factory.mktemp("worker")
    with search_worker(url, tiny_folder, data):
        yield url


@pytest.fixture
def nearest(worker_redis: str, configure: Callable[..., None]) -> NearestSearch:
    if worker_redis:
        become_web_process(configure, worker_redis, remote_timeout_s=5)
    return nearest_search()


def put(kb: KnowledgeBase, texts: dict[int, str], facts: dict[int, Facts] | None = None) -> None:
    put_entries(kb, FAQ, list(texts.items()), encode_texts((FAQ, text) for text in texts.values()), facts)


def of(*kbs: KnowledgeBase, k: int = 5, filters: Filters | None = None) -> VectorSearch:
    return vector_search(FAQ, scope_of(kbs), k, filters or Filters())


def found(nearest: NearestSearch, text: str, search: VectorSearch) -> list[int]:
    """The ids that a question finds, best first, on the way or afterwards: both must be the same."""
    encoded = nearest.encode(text, [search])
    ids = [hit.id for hit in nearest.search(encoded.vector[None], encoded.encoder, search)[0]]
    assert [[hit.id for hit in hits] for hits in encoded.near.values()] in ([], [ids])
    return ids


def test_a_question_finds_the_entry_that_is_the_same_question(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    put(kb, {1: LEAVE, 2: MEALS, 3: PARKING})
    assert isinstance(nearest, NearestSearch)
    assert [found(nearest, text, of(kb, k=1)) for text in (LEAVE, MEALS, PARKING)] == [[1], [2], [3]]


def test_hits_come_best_first_with_their_cosine_and_k_bounds_them(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    put(kb, {1: LEAVE, 2: MEALS, 3: PARKING})
    encoded = nearest.encode(MEALS, [])
    (hits,) = nearest.search(encoded.vector[None], encoded.encoder, of(kb, k=2))
    assert len(hits) == 2 and hits[0].id == 2 and hits[0].score == pytest.approx(1, abs=2e-3) and hits[0].score > hits[1].score


def test_each_vector_has_hits_of_its_own(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    put(kb, {1: LEAVE, 2: MEALS})
    asked = [nearest.encode(text, []) for text in (MEALS, LEAVE, MEALS)]
    rows: FloatArray = np.stack([one.vector for one in asked])
    assert [[hit.id for hit in hits] for hits in nearest.search(rows, asked[0].encoder, of(kb, k=1))] == [[2], [1], [2]]


def test_what_was_committed_before_the_question_is_found_and_what_was_deleted_is_not(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    put(kb, {1: LEAVE, 2: MEALS})
    assert found(nearest, PARKING, of(kb, k=3)) != []
    put(kb, {3: PARKING})
    assert found(nearest, PARKING, of(kb, k=1)) == [3]
    delete_entries(kb, FAQ, [3])
    assert set(found(nearest, PARKING, of(kb, k=3))) == {1, 2}


def test_an_entry_that_changes_is_found_by_its_new_text(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    put(kb, {1: LEAVE, 2: MEALS})
    assert found(nearest, LEAVE, of(kb, k=1)) == [1]
    put(kb, {1: PARKING, 2: LEAVE})
    assert (found(nearest, LEAVE, of(kb, k=1)), found(nearest, PARKING, of(kb, k=1))) == ([2], [1])


def test_a_search_sees_its_knowledge_bases_and_kind_alone(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    put(kb, {1: LEAVE})
    put(other, {2: LEAVE})
    assert (found(nearest, LEAVE, of(kb)), found(nearest, LEAVE, of(other)), set(found(nearest, LEAVE, of(kb, other)))) == (
        [1],
        [2],
        {1, 2},
    )
    assert found(nearest, LEAVE, vector_search(EntryKind.PASSAGE, scope_of([kb]), 5)) == []
    assert found(nearest, LEAVE, of()) == []


def test_filters_find_the_nearest_of_what_they_admit(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    put(kb, {1: LEAVE, 2: MEALS, 3: PARKING}, {1: Facts(terms=("tag=hr",)), 2: Facts(terms=("tag=food", "lang=en"), day=5)})
    narrow = Filters(any_of=(frozenset({"tag=food", "tag=none"}), frozenset({"lang=en"})), since_day=5, until_day=5)
    assert found(nearest, LEAVE, of(kb, filters=narrow)) == [2]
    assert found(nearest, LEAVE, of(kb, filters=Filters(since_day=6))) == []


def test_vectors_of_another_encoder_are_refused(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    put(kb, {1: LEAVE})
    encoded = nearest.encode(LEAVE, [of(kb)])
    with pytest.raises(IndexMismatch, match="manage.py reindex --kb hr"):
        nearest.search(encoded.vector[None], "another@1", of(kb))


def test_a_new_generation_is_searched_from_its_switch_on(nearest: NearestSearch, kb: KnowledgeBase, admin_caller: Caller) -> None:
    put(kb, {1: LEAVE, 2: MEALS})
    assert found(nearest, LEAVE, of(kb, k=1)) == [1]
    assert rebuild(kb, admin_caller).number == 2
    put(kb, {3: PARKING})
    assert (found(nearest, LEAVE, of(kb, k=1)), found(nearest, PARKING, of(kb, k=1))) == ([1], [3])


def test_several_searches_go_with_one_question(nearest: NearestSearch, kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    put(kb, {1: LEAVE, 2: MEALS})
    put(other, {4: LEAVE})
    searches = [of(kb, k=1), of(other, k=1)]
    encoded = nearest.encode(LEAVE, searches)
    assert encoded.token_vectors is not None and len(encoded.token_vectors)
    hits = [
        encoded.near[search] if search in encoded.near else nearest.search(encoded.vector[None], encoded.encoder, search)[0]
        for search in searches
    ]
    assert [[hit.id for hit in own] for own in hits] == [[1], [4]]
