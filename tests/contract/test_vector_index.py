"""What every VectorIndex does. A new implementation adds its name to IMPLEMENTATIONS and a branch to `open_index`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from apps.retrieval.indexes.elastic_vector import ElasticVectorIndex
from apps.retrieval.indexes.faiss_index import FaissIndex
from core.errors import IndexMismatch
from core.protocols import VectorIndex
from core.types import EntryKind, Facts, Filters, FloatArray, IndexState, Scope
from tests.elastic import elastic_connection
from tests.facts import filters, some_facts

IMPLEMENTATIONS = ["exact", "graph", "elastic-exact", "elastic-graph"]
KB = Scope(kb_ids=(1,))
X, Y, Z = np.eye(3, dtype=np.float32)

Open = Callable[[], VectorIndex]


@pytest.fixture(params=IMPLEMENTATIONS)
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the index as one more start of the same process would; a graph is built from the second entry on."""
    if request.param.startswith("elastic"):
        with elastic_connection() as connection:
            yield lambda: ElasticVectorIndex(connection=connection, exact_max=1 if request.param == "elastic-graph" else 1000)
        return
    opened: list[FaissIndex] = []

    def open_one() -> VectorIndex:
        opened.append(FaissIndex(EntryKind.FAQ, folder=tmp_path, exact_max=1000 if request.param == "exact" else 1))
        return opened[-1]

    yield open_one
    for index in opened:
        index.close()


@pytest.fixture
def index(open_index: Open) -> VectorIndex:
    return open_index()


def fill(index: VectorIndex, vectors: dict[int, FloatArray], *, kb_id: int = 1, revision: int = 1) -> None:
    with index.exclusive(kb_id):
        if not index.state(kb_id).built_with:
            index.clear(kb_id, "encoder-1")
        if vectors:
            index.put(kb_id, list(vectors), np.stack(list(vectors.values())))
        index.refresh(kb_id, revision)
    settle(index)


def settle(index: VectorIndex) -> None:
    if isinstance(index, FaissIndex):
        index.wait_for_maintenance()


def found(index: VectorIndex, vector: FloatArray, scope: Scope = KB, k: int = 10) -> list[int]:
    return [hit.id for hit in index.search(vector, k, scope)]


def towards(vector: FloatArray, other: FloatArray, share: float) -> FloatArray:
    mixed = (1 - share) * vector + share * other
    return np.asarray(mixed / np.linalg.norm(mixed), dtype=np.float32)


def test_nearest_come_first_with_their_cosine(index: VectorIndex) -> None:
    fill(index, {1: X, 2: towards(X, Y, 0.5), 3: Y})
    hits = index.search(X, 10, KB)
    assert [hit.id for hit in hits] == [1, 2, 3]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.7071, 0.0], abs=1e-3)


def test_k_bounds_the_hits(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y, 3: Z})
    assert len(index.search(X, 2, KB)) == 2
    assert index.search(X, 0, KB) == []


def test_nothing_is_found_before_refresh(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y})
    with index.exclusive(1):
        index.put(1, [3], X[None])
        index.delete(1, [1])
        assert found(index, X)[0] == 1
        index.refresh(1, 2)
    assert set(found(index, X)) == {2, 3}


def test_putting_an_id_again_replaces_its_vector(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y})
    fill(index, {1: Z}, revision=2)
    hits = {hit.id: hit.score for hit in index.search(Z, 10, KB)}
    assert hits == pytest.approx({1: 1.0, 2: 0.0}, abs=1e-3)


def test_deleted_entries_are_not_found_and_unknown_ids_are_fine(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y, 3: Z})
    with index.exclusive(1):
        index.delete(1, [1, 99])
        index.refresh(1, 2)
    settle(index)
    assert 1 not in found(index, X)
    assert index.ids(1) == {2, 3}


def test_the_last_word_on_an_id_before_refresh_counts(index: VectorIndex) -> None:
    with index.exclusive(1):
        index.put(1, [1, 2], np.stack([X, Y]))
        index.delete(1, [1])
        index.delete(1, [2])
        index.put(1, [2], Z[None])
        index.refresh(1, 1)
    assert [(hit.id, round(hit.score, 2)) for hit in index.search(Z, 5, KB)] == [(2, 1.0)]


def test_a_search_sees_only_its_scope(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y}, kb_id=1)
    fill(index, {3: X}, kb_id=2)
    assert found(index, X, Scope(kb_ids=(2,))) == [3]
    assert set(found(index, X, Scope(kb_ids=(1, 2)), k=2)) == {1, 3}
    assert found(index, X, Scope(kb_ids=())) == []


def test_a_knowledge_base_without_an_index_finds_nothing(index: VectorIndex) -> None:
    assert found(index, X) == []
    assert index.state(1) == IndexState(revision=0, built_with="")
    assert index.ids(1) == set()


def test_clear_empties_and_starts_at_revision_0(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y}, revision=5)
    with index.exclusive(1):
        index.clear(1, "encoder-2")
    assert index.state(1) == IndexState(revision=0, built_with="encoder-2")
    assert found(index, X) == []


def test_after_clear_vectors_may_have_another_length(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y})
    with index.exclusive(1):
        index.clear(1, "encoder-2")
    fill(index, {1: np.array([1, 0], np.float32)}, revision=1)
    assert found(index, np.array([1, 0], np.float32)) == [1]


def test_vectors_of_another_length_are_refused(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y})
    with pytest.raises(IndexMismatch, match="manage.py reindex"):
        index.search(np.array([1, 0], np.float32), 5, KB)
    with pytest.raises(IndexMismatch, match="manage.py reindex"), index.exclusive(1):
        index.put(1, [3], np.array([[1, 0]], np.float32))


def test_state_and_vectors_are_there_after_a_restart(open_index: Open) -> None:
    index = open_index()
    fill(index, {1: X, 2: Y, 3: Z}, revision=5)
    index.close()  # type: ignore[attr-defined]
    again = open_index()
    assert again.state(1) == IndexState(revision=5, built_with="encoder-1")
    assert found(again, Y, k=1) == [2]


def test_work_that_fails_before_refresh_leaves_no_trace(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y})
    with pytest.raises(ZeroDivisionError), index.exclusive(1):
        index.put(1, [3], Z[None])
        raise ZeroDivisionError
    fill(index, {}, revision=2)
    assert index.ids(1) == {1, 2}


def test_vectors_can_be_read_back_by_id(index: VectorIndex) -> None:
    fill(index, {1: X, 2: towards(X, Y, 0.3), 3: Z})
    vectors = index.vectors(1, [3, 2, 99])  # type: ignore[attr-defined]
    assert set(vectors) == {2, 3}
    assert vectors[2] == pytest.approx(towards(X, Y, 0.3), abs=1e-3)
    assert index.vectors(8, [1]) == {}  # type: ignore[attr-defined]


FACTS = some_facts(120)
ROWS = np.random.default_rng(5).normal(size=(120, 8)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
over_one_index = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def filtered_index(index: VectorIndex) -> VectorIndex:
    """Entry n has `FACTS[n]` and `ROWS[n]`; a few of the first had others."""
    with index.exclusive(1):
        index.put(1, range(100), ROWS[np.arange(100) // 2], FACTS[:100][::-1])
        index.refresh(1, 1)
    settle(index)
    with index.exclusive(1):
        index.put(1, range(120), ROWS, FACTS)
        index.refresh(1, 2)
    settle(index)
    with index.exclusive(1):
        index.put(1, range(5), ROWS[:5], FACTS[:5])
        index.refresh(1, 3)
    return index


@over_one_index
@given(filters=filters())
def test_a_filter_finds_the_nearest_of_what_it_admits(filtered_index: VectorIndex, filters: Filters) -> None:
    hits = filtered_index.search(ROWS[7], 10, KB, filters)
    admitted = [n for n, facts in enumerate(FACTS) if filters.admits(facts)]
    cosines = {n: float(ROWS[n] @ ROWS[7]) for n in admitted}
    assert {hit.id for hit in hits} <= set(admitted)
    assert [hit.score for hit in hits] == pytest.approx(sorted(cosines.values(), reverse=True)[:10], abs=2e-3)


def test_putting_an_id_again_replaces_its_facts(index: VectorIndex) -> None:
    old, new = Filters(any_of=(frozenset({"tag=old"}),)), Filters(any_of=(frozenset({"tag=new"}),))
    for revision, tag in enumerate(["tag=old", "tag=new"], start=1):
        with index.exclusive(1):
            index.put(1, [1, 2], np.stack([X, Y]), [Facts(terms=(tag,)), Facts()])
            index.refresh(1, revision)
        settle(index)
    assert (index.search(X, 5, KB, old), [hit.id for hit in index.search(X, 5, KB, new)]) == ([], [1])


def test_vectors_put_without_facts_are_found_without_filters_only(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y})
    assert found(index, X) == [1, 2]
    assert index.search(X, 5, KB, Filters(since_day=1)) == []


def test_facts_are_there_after_a_restart(open_index: Open) -> None:
    index = open_index()
    with index.exclusive(1):
        index.clear(1, "encoder-1")
        index.put(1, range(120), ROWS, FACTS)
        index.refresh(1, 1)
    settle(index)
    filters = Filters(any_of=(frozenset({"lang=zh"}),), since_day=738_000)
    before = index.search(ROWS[0], 50, KB, filters)
    index.close()  # type: ignore[attr-defined]
    assert before
    assert open_index().search(ROWS[0], 50, KB, filters) == before


def test_vectors_are_filled_aside_and_found_from_the_switch_on(open_index: Open) -> None:
    index = open_index()
    fill(index, {1: X, 2: Y})
    with index.building(1, "encoder-2") as build:
        build.put(1, [3, 4, 5], np.stack([X, Y, Z]), [Facts(day=n) for n in (3, 4, 5)])
        build.refresh(1, 2)
        fill(index, {6: Z}, revision=3)
        assert set(found(index, X)) == {1, 2, 6}
        build.delete(1, [4])
        build.put(1, [6], Z[None])
        build.refresh(1, 3)
        build.settle()
        with index.exclusive(1):
            build.switch()
        assert set(found(index, X)) == index.ids(1) == {3, 5, 6}
    assert index.state(1) == IndexState(revision=3, built_with="encoder-2")
    assert [hit.id for hit in index.search(X, 5, KB, Filters(since_day=5))] == [5]
    fill(index, {7: Y}, revision=4)
    assert index.ids(1) == {3, 5, 6, 7}


def test_a_build_may_have_vectors_of_another_length(index: VectorIndex) -> None:
    fill(index, {1: X})
    with index.building(1, "encoder-2") as build:
        build.put(1, [1, 2], np.eye(2, dtype=np.float32))
        build.refresh(1, 2)
        with index.exclusive(1):
            build.switch()
    assert found(index, np.array([0, 1], dtype=np.float32)) == [2, 1]


def test_a_vector_build_that_fails_leaves_what_was_there(index: VectorIndex) -> None:
    fill(index, {1: X}, revision=5)
    with pytest.raises(ZeroDivisionError), index.building(1, "encoder-2") as build:
        build.put(1, [2], Y[None])
        raise ZeroDivisionError
    assert (index.state(1), index.ids(1)) == (IndexState(revision=5, built_with="encoder-1"), {1})
    with index.building(1, "encoder-2") as build, pytest.raises(RuntimeError, match="exclusive"):
        build.switch()


def test_a_build_of_the_generation_before_begins_empty_or_with_all_that_it_had(index: VectorIndex) -> None:
    fill(index, {1: X, 2: Y}, revision=3)
    with index.building(1, "encoder-2") as build:
        build.put(1, [1, 2], np.stack([Y, X]))
        build.refresh(1, 4)
        with index.exclusive(1):
            build.switch()
    with index.building(1, "encoder-1", no_later_than=5) as build:
        assert build.revision in (0, 3)
        if not build.revision:
            build.put(1, [1, 2], np.stack([X, Y]))
        build.delete(1, [1])
        build.put(1, [3], Z[None])
        build.refresh(1, 5)
        assert set(found(index, X)) == {1, 2}
        with index.exclusive(1):
            build.switch()
    assert (index.state(1), index.ids(1)) == (IndexState(revision=5, built_with="encoder-1"), {2, 3})
    assert (found(index, Y)[0], found(index, Z)[0]) == (2, 3)


def test_what_was_switched_to_is_there_after_a_restart(open_index: Open) -> None:
    index = open_index()
    fill(index, {1: X})
    with index.building(1, "encoder-2") as build:
        build.put(1, [2, 3], np.stack([X, Y]))
        build.refresh(1, 2)
        build.settle()
        with index.exclusive(1):
            build.switch()
    index.close()  # type: ignore[attr-defined]
    again = open_index()
    assert (again.state(1), found(again, Y)) == (IndexState(revision=2, built_with="encoder-2"), [3, 2])


def test_what_two_encoders_made_lies_apart_unless_all_share_the_index(index: VectorIndex) -> None:
    old, new = index.made_by("encoder-1"), index.made_by("encoder-2")
    assert index.made_by("encoder-1") is old
    fill(old, {1: X, 2: Y})
    if index.is_shared:
        assert old is new is index
        return
    fill(new, {3: np.array([0, 1], dtype=np.float32)})
    assert (set(found(old, X)), found(new, np.array([0, 1], dtype=np.float32))) == ({1, 2}, [3])
    index.forget(1)
    assert (set(found(old, X)), old.state(1).revision, new.ids(1)) == ({1, 2}, 1, {3})
