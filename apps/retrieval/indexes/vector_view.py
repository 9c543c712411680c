"""Which vectors are nearest to a question's? One immutable state of one knowledge base's vectors, and how graphs are made.

A view has two parts. `rows` are scanned exactly. `graph` (HNSW, Malkov and Yashunin 2016, over half-precision rows) holds
what has grown beyond an exact scan; its replaced and deleted nodes stay as dead ones that no search returns. Nothing in a
view ever changes, so searches take no lock: a change makes a new view.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from core.types import FloatArray, Hit

IdArray = NDArray[np.int64]

GRAPH_LINKS = 32
GRAPH_EF_BUILD = 80
GRAPH_EF_SEARCH = 96
ADD_AT_ONCE = 2_000
BUILD_THREADS = max(1, (os.cpu_count() or 2) // 2)


class BuildStopped(Exception):
    """The index was closed or cleared while a graph was being built."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A built graph: node n stands for entry `ids[n]`. An id may occur again where an older node of it is dead."""

    index: Any  # faiss.IndexHNSWSQ; the stubs of faiss 1.15 do not know what its Python wrappers take
    ids: IdArray


@dataclass(frozen=True, eq=False)
class VectorView:
    """`rows` float32[n, dim] with `row_ids` int64[n], and `graph` with `alive` bool[nodes] where there is one."""

    dim: int
    rows: FloatArray
    row_ids: IdArray
    graph: Graph | None = None
    alive: NDArray[np.bool_] | None = None

    @property
    def count(self) -> int:
        """Entries that can be found."""
        return len(self.row_ids) + (0 if self.alive is None else int(self.alive.sum()))

    @property
    def nodes(self) -> int:
        """Nodes of the graph, dead ones too."""
        return 0 if self.graph is None else len(self.graph.ids)

    @property
    def dead_share(self) -> float:
        """Share of the graph's nodes that no search returns any more."""
        return 0.0 if self.alive is None or not len(self.alive) else 1.0 - float(self.alive.mean())

    def search(self, vector: FloatArray, k: int) -> list[Hit]:
        """Up to `k` nearest by inner product, in no order. One thread: spinning thread pools cost 10 times what they give."""
        faiss.omp_set_num_threads(1)
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        hits: list[Hit] = []
        if len(self.row_ids):
            scores, places = faiss.knn(query, self.rows, min(k, len(self.row_ids)), metric=faiss.METRIC_INNER_PRODUCT)
            hits += _as_hits(scores[0], places[0], self.row_ids)
        if self.graph is not None:
            selector = self._selector
            parameters = faiss.SearchParametersHNSW(efSearch=max(GRAPH_EF_SEARCH, 2 * k), sel=selector)  # type: ignore[attr-defined]
            scores, places = self.graph.index.search(query, k, params=parameters)
            hits += _as_hits(scores[0], places[0], self.graph.ids)
        return hits

    def vectors(self, ids: IdArray) -> dict[int, FloatArray]:
        """float32[dim] of each id that is here; those of a graph in half precision."""
        places = _lookup(self._sorted_rows, ids)
        found = dict(zip(self.row_ids[places].tolist(), self.rows[places], strict=True))
        nodes = self.nodes_of(ids)
        if self.graph is not None and len(nodes):
            found |= dict(zip(self.graph.ids[nodes].tolist(), self.graph.index.reconstruct_batch(nodes), strict=True))
        return found

    def ids(self) -> set[int]:
        """Every id that can be found."""
        graph_ids = self.graph.ids[self.alive] if self.graph is not None else np.empty(0, np.int64)
        return set(self.row_ids.tolist()) | set(graph_ids.tolist())

    def nodes_of(self, ids: IdArray) -> IdArray:
        """The living graph nodes of those ids that have one."""
        return _lookup(self._living, ids) if self.graph is not None else np.empty(0, np.int64)

    def changed(self, put: dict[int, FloatArray], deleted: set[int]) -> VectorView:
        """The view after these changes. Copies `rows` (10 ms for 20,000 of 384), so that nobody waits for anybody."""
        touched = np.fromiter(put.keys() | deleted, dtype=np.int64)
        keep = ~np.isin(self.row_ids, touched)
        rows = np.concatenate([self.rows[keep], *(vector[None] for vector in put.values())])
        row_ids = np.concatenate([self.row_ids[keep], np.fromiter(put.keys(), dtype=np.int64)])
        return VectorView(self.dim, rows, row_ids, self.graph, self._without(self.nodes_of(touched)))

    def with_graph(self, graph: Graph, alive: NDArray[np.bool_], changed_since: set[int]) -> VectorView:
        """The view once `graph`, built from an earlier view, takes over all that has not changed since then."""
        changed = np.fromiter(changed_since, dtype=np.int64)
        keep = np.isin(self.row_ids, changed)
        return VectorView(self.dim, self.rows[keep], self.row_ids[keep], graph, alive & ~np.isin(graph.ids, changed))

    def _without(self, nodes: IdArray) -> NDArray[np.bool_] | None:
        if self.alive is None or not len(nodes):
            return self.alive
        alive = self.alive.copy()
        alive[nodes] = False
        return alive

    @cached_property
    def _sorted_rows(self) -> tuple[IdArray, IdArray]:
        """Ids of rows in order, and their rows."""
        order = np.argsort(self.row_ids, kind="stable")
        return self.row_ids[order], order

    @cached_property
    def _living(self) -> tuple[IdArray, IdArray]:
        """Ids of living nodes in order, and their nodes."""
        assert self.graph is not None and self.alive is not None
        nodes = np.flatnonzero(self.alive)
        order = np.argsort(self.graph.ids[nodes], kind="stable")
        return self.graph.ids[nodes][order], nodes[order]

    @cached_property
    def _selector(self) -> faiss.IDSelector | None:
        """Lets only living nodes through; None, which is faster, where all live."""
        if self.alive is None or bool(self.alive.all()):
            return None
        return faiss.IDSelectorBitmap(np.packbits(self.alive, bitorder="little"))  # type: ignore[call-arg, arg-type]


def empty_view(dim: int) -> VectorView:
    """A view of nothing."""
    return VectorView(dim, np.empty((0, dim), np.float32), np.empty(0, np.int64))


def extend_graph(view: VectorView, stop: threading.Event) -> tuple[Graph, NDArray[np.bool_]]:
    """The view's graph with its rows added, on a copy; raises BuildStopped once `stop` is set.

    Where the view has no graph, or more than a fifth of its nodes are dead, a new one is built of all that lives.
    """
    if view.graph is None or view.alive is None or view.dead_share > 0.2:
        return _rebuilt_graph(view, stop)
    index = faiss.clone_index(view.graph.index)
    _add(index, view.rows, stop)
    alive = np.concatenate([view.alive, np.ones(len(view.row_ids), np.bool_)])
    return Graph(index, np.concatenate([view.graph.ids, view.row_ids])), alive


def _rebuilt_graph(view: VectorView, stop: threading.Event) -> tuple[Graph, NDArray[np.bool_]]:
    index: Any = faiss.IndexHNSWSQ(view.dim, faiss.ScalarQuantizer.QT_fp16, GRAPH_LINKS, faiss.METRIC_INNER_PRODUCT)  # type: ignore[arg-type]
    index.hnsw.efConstruction = GRAPH_EF_BUILD
    ids = view.row_ids
    if view.graph is not None and view.alive is not None:
        nodes = np.flatnonzero(view.alive)
        for start in range(0, len(nodes), ADD_AT_ONCE):
            _add(index, view.graph.index.reconstruct_batch(nodes[start : start + ADD_AT_ONCE]), stop)
        ids = np.concatenate([view.graph.ids[nodes], ids])
    _add(index, view.rows, stop)
    return Graph(index, ids), np.ones(len(ids), np.bool_)


def _add(index: Any, rows: FloatArray, stop: threading.Event) -> None:
    faiss.omp_set_num_threads(BUILD_THREADS)
    for start in range(0, len(rows), ADD_AT_ONCE):
        if stop.is_set():
            raise BuildStopped
        index.add(rows[start : start + ADD_AT_ONCE])


def _as_hits(scores: FloatArray, places: IdArray, ids: IdArray) -> list[Hit]:
    return [Hit(int(ids[place]), float(score)) for score, place in zip(scores, places, strict=True) if place >= 0]


def _lookup(table: tuple[IdArray, IdArray], wanted: IdArray) -> IdArray:
    """The places of those wanted ids that the table of sorted ids and their places has."""
    ids, places = table
    if not len(ids) or not len(wanted):
        return np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.asarray(places[at[ids[at] == wanted]])
