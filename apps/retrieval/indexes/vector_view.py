"""Which vectors are nearest to a question's? One immutable state of one knowledge base's vectors.

A view has two parts. `rows` are scanned exactly. `large`, a graph or clusters, holds what has grown beyond an exact scan;
its replaced and deleted nodes stay as dead ones that no search returns. Nothing in a view ever changes, so searches take no
lock: a change makes a new view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import faiss
import numpy as np

from apps.retrieval.indexes.fact_table import FactTable, Mask, table_of, without_facts
from apps.retrieval.indexes.large_part import IdArray, LargePart
from core.types import NO_FILTERS, Facts, Filters, FloatArray, Hit

Put = Mapping[int, tuple[FloatArray, Facts]]


@dataclass(frozen=True, eq=False)
class VectorView:
    """`rows` float32[n, dim] with `row_ids` int64[n] and the facts of each, and `large` with `alive` bool[nodes] where there is one."""

    dim: int
    rows: FloatArray
    row_ids: IdArray
    row_facts: FactTable
    large: LargePart | None = None
    alive: Mask | None = None

    @property
    def count(self) -> int:
        """Entries that can be found."""
        return len(self.row_ids) + self.nodes - self._dead

    @property
    def nodes(self) -> int:
        """Nodes of the large part, dead ones too."""
        return 0 if self.large is None else len(self.large.ids)

    @property
    def dead_share(self) -> float:
        """Share of the nodes that no search returns any more."""
        return self._dead / self.nodes if self.nodes else 0.0

    def search(self, vector: FloatArray, k: int, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` nearest by inner product that the filters admit, in no order.

        One thread: spinning thread pools cost 10 times what they give.
        """
        faiss.omp_set_num_threads(1)
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        return self._search_rows(query, k, filters) + self._search_large(query, k, filters)

    def vectors(self, ids: IdArray) -> dict[int, FloatArray]:
        """float32[dim] of each id that is here; those of the large part in half precision."""
        places = _lookup(self._sorted_rows, ids)
        found = dict(zip(self.row_ids[places].tolist(), self.rows[places], strict=True))
        nodes = self.nodes_of(ids)
        if self.large is not None and len(nodes):
            found |= dict(zip(self.large.ids[nodes].tolist(), self.large.rows_at(nodes), strict=True))
        return found

    def ids(self) -> set[int]:
        """Every id that can be found."""
        large_ids = self.large.ids[self.alive] if self.large is not None else np.empty(0, np.int64)
        return set(self.row_ids.tolist()) | set(large_ids.tolist())

    def nodes_of(self, ids: IdArray) -> IdArray:
        """The living nodes of those ids that have one."""
        return _lookup(self._living, ids) if self.large is not None else np.empty(0, np.int64)

    def changed(self, put: Put, deleted: set[int]) -> VectorView:
        """The view after these changes. Copies `rows` (10 ms for 20,000 of 384), so that nobody waits for anybody."""
        touched = np.fromiter(put.keys() | deleted, dtype=np.int64)
        keep = ~np.isin(self.row_ids, touched)
        rows = np.concatenate([self.rows[keep], *(vector[None] for vector, _ in put.values())])
        row_ids = np.concatenate([self.row_ids[keep], np.fromiter(put.keys(), dtype=np.int64)])
        row_facts = self.row_facts.taken(keep).followed_by(table_of([facts for _, facts in put.values()]))
        return VectorView(self.dim, rows, row_ids, row_facts, self.large, self._without(self.nodes_of(touched)))

    def with_large(self, large: LargePart, alive: Mask, changed_since: set[int]) -> VectorView:
        """The view once `large`, built from an earlier view, takes over all that has not changed since then."""
        changed = np.fromiter(changed_since, dtype=np.int64)
        keep = np.isin(self.row_ids, changed)
        alive = alive & ~np.isin(large.ids, changed)
        return VectorView(self.dim, self.rows[keep], self.row_ids[keep], self.row_facts.taken(keep), large, alive)

    def _search_rows(self, query: FloatArray, k: int, filters: Filters) -> list[Hit]:
        if not len(self.row_ids):
            return []
        if not filters:
            scores, places = faiss.knn(query, self.rows, min(k, len(self.row_ids)), metric=faiss.METRIC_INNER_PRODUCT)
            return _as_hits(scores[0], places[0], self.row_ids)
        admitted = np.flatnonzero(self.row_facts.admitted(filters))
        few = 4 * len(admitted) < len(self.row_ids)  # copying rows costs more than multiplying them
        products = self.rows[admitted] @ query[0] if few else (self.rows @ query[0])[admitted]
        best = np.argpartition(-products, k)[:k] if len(products) > k else np.arange(len(products))
        return _as_hits(products[best], admitted[best], self.row_ids)

    def _search_large(self, query: FloatArray, k: int, filters: Filters) -> list[Hit]:
        if self.large is None or self.alive is None:
            return []
        mask = self.alive if self._dead else None
        if filters:
            mask = self.large.facts.admitted(filters) & self.alive
        return _as_hits(*self.large.nearest(query, k, mask), self.large.ids)

    def _without(self, nodes: IdArray) -> Mask | None:
        if self.alive is None or not len(nodes):
            return self.alive
        alive = self.alive.copy()
        alive[nodes] = False
        return alive

    @cached_property
    def _dead(self) -> int:
        return 0 if self.alive is None else len(self.alive) - int(np.count_nonzero(self.alive))

    @cached_property
    def _sorted_rows(self) -> tuple[IdArray, IdArray]:
        """Ids of rows in order, and their rows."""
        order = np.argsort(self.row_ids, kind="stable")
        return self.row_ids[order], order

    @cached_property
    def _living(self) -> tuple[IdArray, IdArray]:
        """Ids of living nodes in order, and their nodes."""
        assert self.large is not None and self.alive is not None
        nodes = np.flatnonzero(self.alive)
        order = np.argsort(self.large.ids[nodes], kind="stable")
        return self.large.ids[nodes][order], nodes[order]


def empty_view(dim: int) -> VectorView:
    """A view of nothing."""
    return VectorView(dim, np.empty((0, dim), np.float32), np.empty(0, np.int64), without_facts(0))


def _as_hits(scores: FloatArray, places: IdArray, ids: IdArray) -> list[Hit]:
    return [Hit(id, score) for id, score in zip(ids[places].tolist(), scores.tolist(), strict=True)]


def _lookup(table: tuple[IdArray, IdArray], wanted: IdArray) -> IdArray:
    """The places of those wanted ids that the table of sorted ids and their places has."""
    ids, places = table
    if not len(ids) or not len(wanted):
        return np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.asarray(places[at[ids[at] == wanted]])
