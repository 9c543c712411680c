"""How fast and how exact is vector search? An exact scan, a graph (HNSW) and clusters (IVF-PQ), through FaissIndex itself.

    python bench/vector_search.py [--cases exact:20000 graph:100000 clusters:1000000] [--out bench/results/vector_search.json]

The vectors are made to look like those of multilingual-e5-small. On 18,000 questions and 6,000 passages of open data sets two
random ones had a cosine of .75 to .81, the nearest .92 to .96, the tenth .87 to .91, the fiftieth .84 to .88, and 100 clusters
explained .18 to .46 of the variance. Here, at 20,000: .82, .94, .91, .89 and .31; there are 100 themes, in them groups of 200, in them topics
of 5. A question is one more vector of a topic. Each case runs in a process of its own, so that its memory is its own; cases that are
not run keep what the file says of them. Times are of one thread. `raw` is FAISS alone on the very same index, asked in turn
with ours; the search is right where it finds what the full product finds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apps.retrieval.indexes import vector_clusters, vector_graph
from apps.retrieval.indexes.faiss_index import FaissIndex
from core.types import Facts, Filters, FloatArray, Scope

DIM, K, QUERIES, TOPIC_SIZE, GROUP_SIZE, THEMES = 384, 10, 500, 5, 200, 100
CHUNK, REFRESH_EVERY, PIECE = 1_000, 20_000, 50_000
EXACT_MAX, CLUSTERS_MIN = 19_000, 100_000  # the defaults, but that 20,000 vectors get a graph
KB = Scope(kb_ids=(1,))
SHARES = {"half": 2, "fiftieth": 50}

Figures = dict[str, float | int | str]


def question_vectors(count: int, *, seed: int = 0) -> FloatArray:
    """float32[count, DIM], unit rows: what all share, a theme, a group, a topic and the row's own."""
    random = np.random.default_rng(seed)
    scale = (1.0 / np.arange(1, DIM + 1) ** 0.35).astype(np.float32)
    scale /= np.linalg.norm(scale)
    topics = _drawn(random, count // TOPIC_SIZE + 1, scale, 0.25)
    groups = (
        _drawn(random, count // GROUP_SIZE + 1, scale, 0.15)
        + _drawn(random, THEMES, scale, 0.2)[np.arange(count // GROUP_SIZE + 1) % THEMES]
    )
    rows = np.empty((count, DIM), np.float32)
    for start in range(0, count, PIECE):
        topic = random.integers(0, len(topics), min(PIECE, count - start))
        piece = np.sqrt(0.18) * (groups[topic % len(groups)] + topics[topic] + _drawn(random, len(topic), scale, 0.4))
        piece[:, -1] += np.sqrt(0.82)
        rows[start : start + len(piece)] = piece / np.linalg.norm(piece, axis=1, keepdims=True)
    return rows


def _drawn(random: np.random.Generator, count: int, scale: FloatArray, share: float) -> FloatArray:
    """float32[count, DIM] of which each row's squared length is about `share`."""
    return np.sqrt(share).astype(np.float32) * random.standard_normal((count, DIM), np.float32) * scale


def measure(kind: str, count: int, folder: Path) -> Figures:
    """Builds, searches and saves one index; runs in its own process."""
    rows = question_vectors(count + QUERIES)
    queries, rows = rows[:QUERIES], rows[QUERIES:]
    before_mb = resident_mb()
    index = FaissIndex(folder=folder, **limits(kind, count))
    seconds = build(index, rows)
    figures: Figures = {"kind": kind, "vectors": count, "dim": DIM, **seconds, "memory_mb": round(resident_mb() - before_mb)}
    figures |= search_all(index, queries, rows)
    figures |= search_filtered(index, queries, rows)
    figures["edit_ms"] = edit(index, rows)
    index.close()
    return figures | {"disk_mb": round(sum(path.stat().st_size for path in folder.rglob("*")) / 2**20)}


def restart(kind: str, count: int, folder: Path) -> Figures:
    """Seconds from opening the index in a new process, checksums included, to its first hits, and its memory then."""
    query = question_vectors(1)[0]
    before_mb, start = resident_mb(), time.perf_counter()
    assert FaissIndex(folder=folder, **limits(kind, count)).search(query, K, KB)
    return {"restart_to_first_search_s": round(time.perf_counter() - start, 3), "memory_after_restart_mb": round(resident_mb() - before_mb)}


def limits(kind: str, count: int) -> dict[str, int]:
    """The sizes that give this kind of index."""
    return {
        "exact_max": count if kind == "exact" else EXACT_MAX,
        "clusters_min": min(CLUSTERS_MIN, count - 1) if kind == "clusters" else count,
    }


def build(index: FaissIndex, rows: FloatArray) -> Figures:
    """Fills the index as the follower does, then waits for the graph or the clusters."""
    start = time.perf_counter()
    with index.exclusive(1):
        index.clear(1, "bench")
        for first in range(0, len(rows), CHUNK):
            ids = range(first, min(first + CHUNK, len(rows)))
            index.put(1, ids, rows[first : first + CHUNK], [facts_of(n) for n in ids])
            if (first + CHUNK) % REFRESH_EVERY == 0:
                index.refresh(1, first + 1)
        index.refresh(1, len(rows))
    followed = time.perf_counter()
    index.wait_for_maintenance()
    return {"searchable_s": round(followed - start, 2), "built_and_saved_s": round(time.perf_counter() - start, 2)}


def search_all(index: FaissIndex, queries: FloatArray, rows: FloatArray) -> Figures:
    """Latency, beside FAISS alone, and recall@10 against the full product."""
    truth = faiss.knn(queries, rows, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    raw = raw_search(index)
    times_ms, raw_ms, right = [], [], 0
    for query, nearest in zip(queries, truth, strict=True):
        start = time.perf_counter()
        hits = index.search(query, K, KB)
        between = time.perf_counter()
        raw(query[None])
        times_ms.append(1000 * (between - start))
        raw_ms.append(1000 * (time.perf_counter() - between))
        right += len({hit.id for hit in hits} & set(nearest.tolist()))
    ours, theirs = np.percentile(times_ms, [50, 95]), np.percentile(raw_ms, [50, 95])
    return {
        "p50_ms": round(float(ours[0]), 3),
        "p95_ms": round(float(ours[1]), 3),
        "raw_p50_ms": round(float(theirs[0]), 3),
        "raw_p95_ms": round(float(theirs[1]), 3),
        "p95_over_raw": round(float(ours[1] / theirs[1]), 2),
        "recall_at_10": round(right / (K * len(queries)), 4),
    }


def search_filtered(index: FaissIndex, queries: FloatArray, rows: FloatArray) -> Figures:
    """Latency and recall@10 where a filter lets one entry in two, or in fifty, through."""
    figures: Figures = {}
    for name, part in SHARES.items():
        filters, places = Filters(any_of=(frozenset({name}),)), np.arange(0, len(rows), part)
        truth = places[faiss.knn(queries, rows[places], K, metric=faiss.METRIC_INNER_PRODUCT)[1]]
        times_ms, right = [], 0
        for query, nearest in zip(queries, truth, strict=True):
            start = time.perf_counter()
            hits = index.search(query, K, KB, filters)
            times_ms.append(1000 * (time.perf_counter() - start))
            right += len({hit.id for hit in hits} & set(nearest.tolist()))
        figures[f"{name}_p50_ms"] = round(float(np.percentile(times_ms, 50)), 3)
        figures[f"{name}_recall_at_10"] = round(right / (K * len(queries)), 4)
    return figures


def facts_of(entry: int) -> Facts:
    """A term for each share that has this entry."""
    return Facts(terms=tuple(name for name, part in SHARES.items() if entry % part == 0))


def raw_search(index: FaissIndex) -> Callable[[FloatArray], object]:
    """FAISS's own search of the index that is in force, with the same parameters."""
    view = index._kb(1).view
    assert view is not None
    if view.large is None:
        return lambda query: faiss.knn(query, view.rows, K, metric=faiss.METRIC_INNER_PRODUCT)
    parameters = view.large.parameters(K)
    return lambda query: view.large.index.search(query, K, params=parameters)


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


def resident_mb() -> float:
    """Memory of this process now; where /proc is missing, the most it ever had."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=["exact:20000", "graph:20000", "graph:100000", "clusters:100000", "clusters:1000000"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "vector_search.json")
    options = parser.parse_args()
    cases = {(one["kind"], one["vectors"]): one for one in (json.loads(options.out.read_text())["cases"] if options.out.exists() else [])}
    for kind, count in (case.split(":") for case in options.cases):
        figures: Figures = {}
        with tempfile.TemporaryDirectory() as folder:
            for step in (measure, restart):
                with get_context("spawn").Pool(1) as pool:
                    figures |= pool.apply(step, (kind, int(count), Path(folder)))
        cases[kind, int(count)] = figures
        print("  ".join(f"{name}={value}" for name, value in figures.items()), flush=True)
    graph = {"links": vector_graph.GRAPH_LINKS, "ef_build": vector_graph.GRAPH_EF_BUILD, "ef_search": vector_graph.GRAPH_EF_SEARCH}
    clusters = {
        "probed_share": vector_clusters.PROBED_SHARE,
        "refined": vector_clusters.REFINED_MORE,
        "code_dims": vector_clusters.CODE_DIMS,
    }
    row = {"cores": os.cpu_count(), "graph": graph, "clusters": clusters, "cases": [cases[key] for key in sorted(cases, key=str)]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
