"""How are a million vectors searched? In the clusters nearest to the question, by short codes, and the best by their rows."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import Any

import faiss
import numpy as np

from apps.retrieval.indexes.large_part import BUILD_THREADS, LargePart
from core.types import FloatArray

PROBED_SHARE = 0.08
LEAST_PROBED = 24
REFINED_A_HIT, REFINED_MORE = 4, 300
CODE_DIMS = 2
ROWS_A_CLUSTER = 40
TRAINING_STEPS = 8
CODES_A_PRODUCT = 8  # short codes that are compared in the time of one inner product of stored rows
LEAST_ROWS = 1_000  # fewer cannot train the codes


class Clusters(LargePart):
    """IVF-PQ (Jégou, Douze and Schmid 2011) with 4-bit codes (André, Kermarrec and Le Scouarnec 2017), refined by stored rows.

    A faiss.IndexRefine of an IndexIVFPQFastScan and the half-precision rows. Built in a tenth of a graph's time.
    """

    def parameters(self, k: int) -> Any:
        return _parameters(self._probed(k), REFINED_A_HIT + REFINED_MORE / k)

    def products(self, k: int) -> float:
        scanned = self.index.ntotal * self._probed(k) / self.clusters
        return scanned / CODES_A_PRODUCT + REFINED_A_HIT * k + REFINED_MORE

    @cached_property
    def stored(self) -> Any:
        return faiss.downcast_index(self.index.refine_index)

    @cached_property
    def clusters(self) -> int:
        """How many there are."""
        inner: Any = faiss.downcast_index(self.index.base_index)
        return int(inner.nlist)

    @property
    def outgrown(self) -> bool:
        """Whether four times as many rows are in them as they were trained for."""
        return clusters_for(self.index.ntotal) >= 2 * self.clusters

    def _probed(self, k: int) -> int:
        share = PROBED_SHARE * (1 + k / 30)  # what lies farther lies in more clusters
        return min(self.clusters, max(LEAST_PROBED, int(share * self.clusters)))


@lru_cache(maxsize=1_000)
def _parameters(probed: int, refined: float) -> Any:
    """Made once: a search only reads them, and to make them costs a twentieth of one."""
    inner = faiss.SearchParametersIVF(nprobe=probed)  # type: ignore[call-arg]
    return faiss.IndexRefineSearchParameters(k_factor=refined, base_index_params=inner)  # type: ignore[call-arg]


def clusters_for(rows: int) -> int:
    """How many clusters so many rows are spread over."""
    return max(1, int(math.sqrt(rows)))


def trained_clusters(sample: FloatArray, rows: int) -> Any:
    """An empty index for so many rows, trained on the sample; training cannot be stopped and takes 10 s for a million."""
    faiss.omp_set_num_threads(BUILD_THREADS)
    dim = sample.shape[1]
    codes = dim // CODE_DIMS if dim % CODE_DIMS == 0 else dim
    centres: Any = faiss.IndexFlat(dim, faiss.METRIC_INNER_PRODUCT)
    inner: Any = faiss.IndexIVFPQFastScan(centres, dim, clusters_for(rows), codes, 4, faiss.METRIC_INNER_PRODUCT)
    inner.cp.niter, inner.cp.spherical = TRAINING_STEPS, True
    stored: Any = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index: Any = faiss.IndexRefine(inner, stored)
    for part in (centres, inner, stored):
        part.this.disown()  # what is made of them frees them
    inner.own_fields = index.own_fields = index.own_refine_index = True
    index.train(np.ascontiguousarray(sample))
    return index


def sample_size(rows: int) -> int:
    """How many rows the clusters are trained on."""
    return min(rows, ROWS_A_CLUSTER * clusters_for(rows))
