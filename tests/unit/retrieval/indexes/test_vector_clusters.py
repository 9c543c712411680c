"""Clusters with short codes: recall, filters, growth, snapshots."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from apps.retrieval.indexes.enlarging import enlarged
from apps.retrieval.indexes.faiss_index import FaissIndex
from apps.retrieval.indexes.vector_clusters import Clusters
from apps.retrieval.indexes.vector_graph import Graph
from apps.retrieval.indexes.vector_view import VectorView, empty_view
from core.types import Facts, Filters, FloatArray, Scope

DIM, COUNT = 32, 4_000
KB = Scope(kb_ids=(1,))


def some_rows(count: int, *, seed: int = 0) -> FloatArray:
    """Unit rows around 200 topics, the same for every seed."""
    random = np.random.default_rng(seed)
    rows = np.random.default_rng(99).normal(size=(200, DIM))[np.arange(count) % 200] + 0.7 * random.normal(size=(count, DIM))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def view_of(rows: FloatArray, clusters_min: int = 1_000) -> VectorView:
    """Rows n with the facts `third=yes` where three divides n, all of them in the large part."""
    facts = [Facts(terms=("third=yes",) if n % 3 == 0 else ()) for n in range(len(rows))]
    view = empty_view(DIM).changed({n: (row, facts[n]) for n, row in enumerate(rows)}, set())
    return view.with_large(*enlarged(view, clusters_min, threading.Event()), set())


def recall(view: VectorView, rows: FloatArray, admitted: np.ndarray, filters: Filters) -> float:
    """Share of the ten truly nearest that are found, over 40 questions."""
    right = 0
    for query in some_rows(40, seed=1):
        truth = admitted[np.argsort(-(rows[admitted] @ query))[:10]]
        hits = sorted(view.search(query, 10, filters), key=lambda hit: -hit.score)[:10]
        right += len({hit.id for hit in hits} & set(truth.tolist()))
    return right / 400


@pytest.fixture(scope="module")
def rows() -> FloatArray:
    return some_rows(COUNT)


@pytest.fixture(scope="module")
def view(rows: FloatArray) -> VectorView:
    return view_of(rows)


def test_many_vectors_lie_in_clusters_fewer_in_a_graph(view: VectorView, rows: FloatArray) -> None:
    assert isinstance(view.large, Clusters)
    assert isinstance(view_of(rows[:900]).large, Graph)


def test_clusters_find_what_an_exact_scan_finds(view: VectorView, rows: FloatArray) -> None:
    assert recall(view, rows, np.arange(COUNT), Filters()) >= 0.95


@pytest.mark.parametrize("shut_out", [False, True])
def test_a_filter_on_clusters_loses_no_recall(view: VectorView, rows: FloatArray, shut_out: bool) -> None:
    filters = Filters(any_of=(frozenset({"third=yes"}),))
    gone = set(range(0, COUNT, 2)) if shut_out else set()
    left = view.changed({}, gone)
    admitted = np.array([n for n in range(0, COUNT, 3) if n not in gone])
    assert recall(left, rows, admitted, filters) >= 0.95


def test_a_graph_that_grows_beyond_the_limit_becomes_clusters(rows: FloatArray) -> None:
    graph = view_of(rows[:900])
    grown = graph.changed({n: (rows[n], Facts()) for n in range(900, COUNT)}, {3})
    grown = grown.with_large(*enlarged(grown, 1_000, threading.Event()), set())
    assert isinstance(grown.large, Clusters)
    assert (grown.nodes, grown.count, 3 in grown.ids()) == (COUNT - 1, COUNT - 1, False)
    assert recall(grown, rows, np.setdiff1d(np.arange(COUNT), [3]), Filters()) >= 0.95


def test_clusters_take_more_rows_in_also_after_a_restart(tmp_path: Path, rows: FloatArray) -> None:
    limits = {"folder": tmp_path, "exact_max": 400, "clusters_min": 1_000}
    index = FaissIndex(**limits)
    put(index, range(3_000), rows[:3_000])
    index.close()
    again = FaissIndex(**limits)
    assert [again.search(row, 1, KB)[0].id for row in rows[:50]] == list(range(50))
    put(again, range(3_000, COUNT), rows[3_000:])
    view = again._kb(1).view
    assert view is not None
    assert (type(view.large), view.nodes) == (Clusters, COUNT)
    assert recall(view, rows, np.arange(COUNT), Filters()) >= 0.95
    again.close()


def put(index: FaissIndex, ids: range, rows: FloatArray) -> None:
    with index.exclusive(1):
        if not index.state(1).built_with:
            index.clear(1, "encoder-1")
        index.put(1, ids, rows)
        index.refresh(1, ids.stop)
    index.wait_for_maintenance()
