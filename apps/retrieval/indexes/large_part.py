"""What do the ways to search many vectors share? Nearest rows under a filter, without loss, over an index that never changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from apps.retrieval.indexes.fact_table import FactTable, Mask
from core.cores import usable_cores
from core.types import FloatArray

IdArray = NDArray[np.int64]
Found = tuple[FloatArray, IdArray]

ADD_AT_ONCE = 2_000
BUILD_THREADS = max(1, usable_cores() // 2)
PASSED_A_PRODUCT = 25  # rows that a scan passes over in the time of one inner product
NOTHING: Found = np.empty(0, np.float32), np.empty(0, np.int64)


class BuildStopped(Exception):
    """The index was closed or cleared while a part was being built."""


@dataclass(frozen=True, eq=False)
class LargePart:
    """Node n of the index stands for entry `ids[n]` and is filtered by row n of `facts`.

    An id may occur again where an older node of it is dead. Subclasses say how far to walk in the index and what that costs.
    """

    index: Any  # the stubs of faiss 1.15 do not know what its Python wrappers take
    ids: IdArray
    facts: FactTable

    def nearest(self, query: FloatArray, k: int, mask: Mask | None) -> Found:
        """Scores and nodes of up to `k` nearest to `query` float32[1, dim] among those that `mask` (None: all) lets through.

        A walk looks at the nearest nodes whether they may be found or not, as far as it needs for `k` that may. Where few
        may, or too few of the nearest do, all that may are scanned instead: a filter costs time but loses nothing.
        """
        if mask is None:
            return self.walk(query, k)
        admitted = int(np.count_nonzero(mask))
        if not admitted:
            return NOTHING
        k = min(k, admitted)
        reach = 1 + int(1.5 * k * len(mask) / admitted)
        if admitted + len(mask) // PASSED_A_PRODUCT > self.products(reach):
            scores, nodes = self.walk(query, reach)
            allowed = mask[nodes]
            if int(np.count_nonzero(allowed)) >= k:
                return scores[allowed][:k], nodes[allowed][:k]
        return self._scan(query, k, mask)

    def rows_at(self, nodes: IdArray) -> FloatArray:
        """float32[n, dim] as they are stored, in half precision."""
        return np.asarray(self.stored.reconstruct_batch(nodes), np.float32)

    def walk(self, query: FloatArray, k: int) -> Found:
        """Scores and nodes of about the `k` nearest, best first."""
        return first_row(self.index.search(query, k, params=self.parameters(k)))

    def parameters(self, k: int) -> Any:
        """What FAISS is told for a walk to about the `k` nearest."""
        raise NotImplementedError

    def products(self, k: int) -> float:
        """What such a walk costs, in computed inner products."""
        raise NotImplementedError

    @property
    def stored(self) -> Any:
        """The faiss.IndexScalarQuantizer of all rows in half precision."""
        raise NotImplementedError

    def _scan(self, query: FloatArray, k: int, mask: Mask) -> Found:
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))  # type: ignore[call-arg, arg-type]
        return first_row(self.stored.search(query, k, params=faiss.SearchParameters(sel=selector)))  # type: ignore[call-arg]


def writable_copy(index: Any) -> Any:
    """A copy that may grow; `clone_index` of a memory-mapped one may not, and ends the process when told to (faiss 1.15)."""
    return faiss.deserialize_index(faiss.serialize_index(index))


def add_rows(index: Any, rows: FloatArray, stop: threading.Event) -> None:
    """Adds in pieces; raises BuildStopped once `stop` is set."""
    faiss.omp_set_num_threads(BUILD_THREADS)
    for start in range(0, len(rows), ADD_AT_ONCE):
        if stop.is_set():
            raise BuildStopped
        index.add(rows[start : start + ADD_AT_ONCE])


def add_living(index: Any, old: LargePart | None, nodes: IdArray, stop: threading.Event) -> None:
    """Adds these nodes of another part; raises BuildStopped once `stop` is set."""
    for start in range(0, len(nodes), ADD_AT_ONCE):
        if old is not None:
            add_rows(index, old.rows_at(nodes[start : start + ADD_AT_ONCE]), stop)


def first_row(found: tuple[FloatArray, IdArray]) -> Found:
    """What was found for the first and only query, without the places that stayed empty."""
    scores, nodes = found[0][0], found[1][0]
    return scores[nodes >= 0], nodes[nodes >= 0]
