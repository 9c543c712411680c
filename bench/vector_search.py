"""How fast and how exact is vector search? An exact scan against the graph (HNSW), through FaissIndex itself.

    python bench/vector_search.py [--sizes 20000 100000] [--out bench/results/vector_search.json]

The vectors are made to look like those of multilingual-e5-small on questions: any two have a cosine near .82, questions of
one topic near .91, and the spread has about 100 effective dimensions. Each case runs in a process of its own, so that its
memory is its own. Times are of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apps.retrieval.indexes import vector_graph
from apps.retrieval.indexes.faiss_index import FaissIndex
from core.types import FloatArray, Scope

DIM, K, QUERIES, TOPIC_SIZE = 384, 10, 500, 20
CHUNK = 1_000
KB = Scope(kb_ids=(1,))

Figures = dict[str, float | int | str]


def question_vectors(count: int, *, seed: int = 0) -> FloatArray:
    """float32[count, DIM], unit rows, `TOPIC_SIZE` a topic."""
    random = np.random.default_rng(seed)
    scale = 1.0 / np.arange(1, DIM + 1) ** 0.35
    scale /= np.linalg.norm(scale)
    topics = random.normal(size=(count // TOPIC_SIZE + 1, DIM)) * scale
    own = random.normal(size=(count, DIM)) * scale
    rest = np.sqrt(0.5) * topics[random.integers(0, len(topics), count)] + np.sqrt(0.5) * own
    rows = np.sqrt(0.18) * rest
    rows[:, -1] += np.sqrt(0.82)  # what all questions share
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def measure(case: tuple[str, int]) -> Figures:
    """Builds, searches and restarts one index; runs in its own process."""
    kind, count = case
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = question_vectors(count + QUERIES)
    queries, rows = rows[:QUERIES], rows[QUERIES:]
    with tempfile.TemporaryDirectory() as folder:
        before_mb = resident_mb()
        exact_max = count if kind == "exact" else 0
        index = FaissIndex(folder=Path(folder), exact_max=exact_max)
        seconds = build(index, rows)
        figures: Figures = {"kind": kind, "vectors": count, "dim": DIM, **seconds, "memory_mb": round(resident_mb() - before_mb)}
        figures |= search_all(index, queries, rows)
        figures["edit_ms"] = edit(index, rows)
        index.close()
        figures["restart_to_first_search_s"] = restart(Path(folder), exact_max, queries[0])
    return figures


def build(index: FaissIndex, rows: FloatArray) -> Figures:
    """Fills the index as the follower does, then waits for the graph."""
    start = time.perf_counter()
    with index.exclusive(1):
        index.clear(1, "bench")
        for first in range(0, len(rows), CHUNK):
            index.put(1, range(first, min(first + CHUNK, len(rows))), rows[first : first + CHUNK])
            if first % (20 * CHUNK) == 0:
                index.refresh(1, first + 1)
        index.refresh(1, len(rows))
    followed = time.perf_counter()
    index.wait_for_maintenance()
    return {"searchable_s": round(followed - start, 2), "built_s": round(time.perf_counter() - start, 2)}


def search_all(index: FaissIndex, queries: FloatArray, rows: FloatArray) -> Figures:
    """Latency and recall@10 against the full product."""
    truth = [set(np.argpartition(-(rows @ query), K)[:K].tolist()) for query in queries]
    times_ms, right = [], 0
    for query, nearest in zip(queries, truth, strict=True):
        start = time.perf_counter()
        hits = index.search(query, K, KB)
        times_ms.append(1000 * (time.perf_counter() - start))
        right += len({hit.id for hit in hits} & nearest)
    p50, p95 = np.percentile(times_ms, [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "recall_at_10": round(right / (K * len(queries)), 4)}


def edit(index: FaissIndex, rows: FloatArray) -> float:
    """Median time, in ms, for one replaced vector to become searchable."""
    times_ms = []
    for n in range(20):
        start = time.perf_counter()
        with index.exclusive(1):
            index.put(1, [n], rows[n + 1 : n + 2])
            index.refresh(1, len(rows) + n + 1)
        times_ms.append(1000 * (time.perf_counter() - start))
    return round(float(np.median(times_ms)), 2)


def restart(folder: Path, exact_max: int, query: FloatArray) -> float:
    """Seconds from opening the index to its first hits."""
    start = time.perf_counter()
    assert FaissIndex(folder=folder, exact_max=exact_max).search(query, K, KB)
    return round(time.perf_counter() - start, 3)


def resident_mb() -> float:
    """Memory of this process now; where /proc is missing, the most it ever had."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "vector_search.json")
    options = parser.parse_args()
    cases = []
    for size in options.sizes:
        for kind in ("exact", "graph"):
            with get_context("spawn").Pool(1) as pool:
                cases.append(pool.apply(measure, ((kind, size),)))
            print("  ".join(f"{name}={value}" for name, value in cases[-1].items()), flush=True)
    settings = {"links": vector_graph.GRAPH_LINKS, "ef_build": vector_graph.GRAPH_EF_BUILD, "ef_search": vector_graph.GRAPH_EF_SEARCH}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"cores": os.cpu_count(), "graph": settings, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
