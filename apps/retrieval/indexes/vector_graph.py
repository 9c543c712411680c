"""How are tens of thousands of vectors searched? A graph of near neighbours: quick and exact enough, slow to build."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import faiss

from apps.retrieval.indexes.large_part import LargePart

GRAPH_LINKS = 32
GRAPH_EF_BUILD = 80
GRAPH_EF_SEARCH = 96
PRODUCTS_A_STEP = 60  # inner products for each node that a walk keeps in view


class Graph(LargePart):
    """HNSW (Malkov and Yashunin 2016) over half-precision rows: a faiss.IndexHNSWSQ."""

    def parameters(self, k: int) -> Any:
        return faiss.SearchParametersHNSW(efSearch=_in_view(k))  # type: ignore[attr-defined]

    def products(self, k: int) -> float:
        return PRODUCTS_A_STEP * _in_view(k)

    @cached_property
    def stored(self) -> Any:
        return faiss.downcast_index(self.index.storage)


def empty_graph(dim: int) -> Any:
    """An index to add rows to."""
    index: Any = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_fp16, GRAPH_LINKS, faiss.METRIC_INNER_PRODUCT)  # type: ignore[arg-type]
    index.hnsw.efConstruction = GRAPH_EF_BUILD
    return index


def _in_view(k: int) -> int:
    return max(GRAPH_EF_SEARCH, 2 * k)
