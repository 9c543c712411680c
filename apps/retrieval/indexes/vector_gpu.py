"""How are many vectors searched where there is a GPU? All of them at every question, in its memory. Not measured on a GPU yet."""

from __future__ import annotations

import logging
import threading
from functools import cache, cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from apps.retrieval.indexes.large_part import Found, LargePart, first_row
from core.types import FloatArray

logger = logging.getLogger(__name__)

COPY_AT_ONCE = 50_000
MAX_K = 2_048  # FAISS finds no more at a time on a GPU
_gpu = threading.Lock()  # what searches share in the GPU's memory must not be used by two threads


class GpuRows(LargePart):
    """Half-precision rows scanned exactly by a GPU; the same rows here (faiss.IndexScalarQuantizer) serve filters and snapshots.

    Where they do not fit into the GPU's memory beside the models, the rows here are scanned: slower, and right.
    """

    def walk(self, query: FloatArray, k: int) -> Found:
        with _gpu:
            if self._on_gpu is not None:
                return first_row(self._on_gpu.search(query, min(k, MAX_K)))
        return first_row(self.stored.search(query, k))

    def products(self, k: int) -> float:
        return 0.0 if k <= MAX_K else float("inf")

    @cached_property
    def stored(self) -> Any:
        return faiss.downcast_index(self.index)

    @cached_property
    def _on_gpu(self) -> Any:
        """The GPU's copy, made at the first search; None where there is no room for it."""
        try:
            return self._copied()
        except RuntimeError as error:  # FAISS says so of every failed allocation
            logger.warning("vectors_not_on_gpu rows=%d reason=%s", self.index.ntotal, error)
            return None

    def _copied(self) -> Any:
        gpu: Any = faiss  # the CPU's faiss does not name what follows
        settings = gpu.GpuIndexFlatConfig()
        settings.useFloat16 = True
        copy = gpu.GpuIndexFlatIP(_resources(), self.index.d, settings)
        for start in range(0, self.index.ntotal, COPY_AT_ONCE):
            copy.add(self.rows_at(_numbers(start, min(start + COPY_AT_ONCE, self.index.ntotal))))
        return copy


def gpu_is_there() -> bool:
    """Whether faiss was built for GPUs and finds one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def empty_rows(dim: int) -> Any:
    """An index to add rows to."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _numbers(start: int, end: int) -> NDArray[np.int64]:
    return np.arange(start, end, dtype=np.int64)


@cache
def _resources() -> Any:
    gpu: Any = faiss
    resources = gpu.StandardGpuResources()
    resources.setTempMemory(256 * 2**20)
    return resources
