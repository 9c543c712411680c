"""Rows on a GPU: what surrounds it. No test machine has one, so FAISS's flat index on the CPU stands where the GPU's would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from apps.retrieval.indexes import vector_gpu
from apps.retrieval.indexes.faiss_index import FaissIndex
from apps.retrieval.indexes.vector_gpu import GpuRows
from core.types import Facts, Filters, FloatArray, Scope

KB = Scope(kb_ids=(1,))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: SimpleNamespace(setTempMemory=lambda _bytes: None), raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatConfig", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", lambda _resources, dim, _settings: faiss.IndexFlatIP(dim), raising=False)
    monkeypatch.setattr(vector_gpu, "COPY_AT_ONCE", 64)
    yield
    vector_gpu._resources.cache_clear()


def filled(folder: Path, rows: FloatArray) -> FaissIndex:
    index = FaissIndex(folder=folder, exact_max=100)
    with index.exclusive(1):
        index.clear(1, "encoder-1")
        index.put(1, range(len(rows)), rows, [Facts(day=1 + n % 3) for n in range(len(rows))])
        index.refresh(1, 1)
    index.wait_for_maintenance()
    return index


@pytest.fixture
def rows() -> FloatArray:
    drawn = np.random.default_rng(0).normal(size=(300, 16))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


@pytest.mark.usefixtures("gpu")
def test_rows_on_a_gpu_are_found_exactly_with_filters_and_without(tmp_path: Path, rows: FloatArray) -> None:
    index = filled(tmp_path, rows)
    assert isinstance(index._kb(1).view.large, GpuRows)  # type: ignore[union-attr]
    order = np.argsort(-(rows @ rows[5]))
    assert [hit.id for hit in index.search(rows[5], 10, KB)] == order[:10].tolist()
    assert [hit.id for hit in index.search(rows[5], 10, KB, Filters(since_day=3))] == [n for n in order if n % 3 == 2][:10]
    index.close()


@pytest.mark.usefixtures("gpu")
def test_rows_that_the_gpu_has_no_memory_for_are_scanned_here(tmp_path: Path, rows: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> faiss.Index:
        raise RuntimeError("Error in virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory: out of memory")

    monkeypatch.setattr(faiss, "GpuIndexFlatIP", no_room)
    index = filled(tmp_path, rows)
    assert [hit.id for hit in index.search(rows[5], 10, KB)] == np.argsort(-(rows @ rows[5]))[:10].tolist()
    index.close()


def test_a_snapshot_for_a_gpu_is_none_where_there_is_no_gpu(
    tmp_path: Path, rows: FloatArray, gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, rows).close()
    again = FaissIndex(folder=tmp_path, exact_max=100)
    assert again.search(rows[5], 1, KB)[0].id == 5
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert FaissIndex(folder=tmp_path, exact_max=100).search(rows[5], 1, KB) == []


@pytest.mark.usefixtures("gpu")
def test_many_threads_share_one_gpu(tmp_path: Path, rows: FloatArray) -> None:
    index = filled(tmp_path, rows)
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(index.search(rows[n], 1, KB)[0].id)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(12))
    index.close()
