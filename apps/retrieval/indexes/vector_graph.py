"""How are many vectors searched without looking at all of them? A graph of near neighbours, built aside and never changed."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from apps.retrieval.indexes.fact_table import FactTable, Mask
from core.types import FloatArray

IdArray = NDArray[np.int64]
Found = tuple[FloatArray, IdArray]

GRAPH_LINKS = 32
GRAPH_EF_BUILD = 80
GRAPH_EF_SEARCH = 96
ADD_AT_ONCE = 2_000
BUILD_THREADS = max(1, (os.cpu_count() or 2) // 2)
# What a search costs, in computed inner products: of each node that a walk keeps in view, and of 25 nodes passed over in a scan.
PRODUCTS_A_STEP = 60
PASSED_A_PRODUCT = 25


class BuildStopped(Exception):
    """The index was closed or cleared while a graph was being built."""


@dataclass(frozen=True, eq=False)
class Graph:
    """HNSW (Malkov and Yashunin 2016) over half-precision rows; node n stands for entry `ids[n]`, filtered by row n of `facts`.

    An id may occur again where an older node of it is dead.
    """

    index: Any  # faiss.IndexHNSWSQ; the stubs of faiss 1.15 do not know what its Python wrappers take
    ids: IdArray
    facts: FactTable

    def nearest(self, query: FloatArray, k: int, mask: Mask | None) -> Found:
        """Scores and nodes of up to `k` nearest to `query` float32[1, dim] among those that `mask` (None: all) lets through.

        A walk looks at the nearest nodes whether they may be found or not, as far as it needs for `k` that may. Where few
        may, or too few of the nearest do, all that may are scanned instead: a filter costs time but loses nothing.
        """
        if mask is None:
            return self._walk(query, k, max(GRAPH_EF_SEARCH, 2 * k))
        admitted = int(np.count_nonzero(mask))
        if not admitted:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        k = min(k, admitted)
        reach = 1 + int(1.5 * k * len(mask) / admitted)
        in_view = max(GRAPH_EF_SEARCH, 3 * reach // 2)
        if admitted + len(mask) // PASSED_A_PRODUCT > PRODUCTS_A_STEP * in_view:
            scores, nodes = self._walk(query, reach, in_view)
            allowed = mask[nodes]
            if int(np.count_nonzero(allowed)) >= k:
                return scores[allowed][:k], nodes[allowed][:k]
        return self._scan(query, k, mask)

    def rows_at(self, nodes: IdArray) -> FloatArray:
        """float32[n, dim] as they are stored, in half precision."""
        return np.asarray(self.index.reconstruct_batch(nodes), np.float32)

    def _walk(self, query: FloatArray, k: int, in_view: int) -> Found:
        parameters = faiss.SearchParametersHNSW(efSearch=in_view)  # type: ignore[attr-defined]
        return _first_row(self.index.search(query, k, params=parameters))

    def _scan(self, query: FloatArray, k: int, mask: Mask) -> Found:
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))  # type: ignore[call-arg, arg-type]
        rows: Any = faiss.downcast_index(self.index.storage)
        return _first_row(rows.search(query, k, params=faiss.SearchParameters(sel=selector)))  # type: ignore[call-arg]


def extended_graph(graph: Graph, rows: FloatArray, ids: IdArray, facts: FactTable, stop: threading.Event) -> Graph:
    """A copy of the graph with these rows added; raises BuildStopped once `stop` is set."""
    index = faiss.clone_index(graph.index)
    _add(index, rows, stop)
    return Graph(index, np.concatenate([graph.ids, ids]), graph.facts.followed_by(facts))


def new_graph(old: Graph | None, alive: Mask | None, rows: FloatArray, ids: IdArray, facts: FactTable, stop: threading.Event) -> Graph:
    """A graph of what lives in the old one and of these rows; raises BuildStopped once `stop` is set."""
    index: Any = faiss.IndexHNSWSQ(rows.shape[1], faiss.ScalarQuantizer.QT_fp16, GRAPH_LINKS, faiss.METRIC_INNER_PRODUCT)  # type: ignore[arg-type]
    index.hnsw.efConstruction = GRAPH_EF_BUILD
    if old is not None and alive is not None:
        nodes = np.flatnonzero(alive)
        for start in range(0, len(nodes), ADD_AT_ONCE):
            _add(index, old.rows_at(nodes[start : start + ADD_AT_ONCE]), stop)
        ids, facts = np.concatenate([old.ids[nodes], ids]), old.facts.taken(nodes).followed_by(facts)
    _add(index, rows, stop)
    return Graph(index, ids, facts)


def _add(index: Any, rows: FloatArray, stop: threading.Event) -> None:
    faiss.omp_set_num_threads(BUILD_THREADS)
    for start in range(0, len(rows), ADD_AT_ONCE):
        if stop.is_set():
            raise BuildStopped
        index.add(rows[start : start + ADD_AT_ONCE])


def _first_row(found: tuple[FloatArray, IdArray]) -> Found:
    """What was found for the first and only query, without the places that stayed empty."""
    scores, nodes = found[0][0], found[1][0]
    return scores[nodes >= 0], nodes[nodes >= 0]
