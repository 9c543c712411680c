"""How fast and how exact are the indexes in Elasticsearch, beside the embedded ones, on the same entries in the same run?

    python bench/elastic.py --url http://127.0.0.1:9200 [--entries 20000] [--out bench/results/elastic.json]

Texts are drawn from a vocabulary with Zipf's frequencies, 40 words each; the vectors are those of bench/vector_search.py. Filters
admit a tenth and a hundredth of the entries. Recall is against the full product; `score_difference` is the largest between
embedded and Elasticsearch for one entry and question. Run it with OMP_NUM_THREADS=1: one caller, one thread; Elasticsearch runs on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from vector_search import question_vectors

from apps.retrieval.indexes.elastic_connection import ElasticConnection, open_client
from apps.retrieval.indexes.elastic_lexical import ElasticLexicalIndex
from apps.retrieval.indexes.elastic_vector import ElasticVectorIndex
from apps.retrieval.indexes.faiss_index import FaissIndex
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from core.config import Settings
from core.protocols import LexicalIndex, VectorIndex
from core.types import NO_FILTERS, Facts, Filters, FloatArray, Hit, IndexEntry, Scope

WORDS, K, QUERIES, CHUNK = 40, 10, 300, 2000
KB = Scope(kb_ids=(1,))
FILTERS = {
    "all": NO_FILTERS,
    "a tenth": Filters(any_of=(frozenset({"tenth=3"}),)),
    "a hundredth": Filters(since_day=37, until_day=37),
}

Figures = dict[str, object]


def facts_of(n: int) -> Facts:
    """A tenth of the entries have one term, a hundredth one day."""
    return Facts(terms=(f"tenth={n % 10}",), day=n % 100)


def texts(count: int) -> tuple[list[str], list[str]]:
    """The entries' texts, and questions of a few words of some of them, half of them in Chinese."""
    random = np.random.default_rng(3)
    latin = ["".join(random.choice(list("bcdfgklmnprst")) + random.choice(list("aeiou")) for _ in range(3)) for _ in range(15_000)]
    han = ["".join(map(chr, random.integers(0x4E00, 0x5E00, 2))) for _ in range(15_000)]
    words = np.array([word for pair in zip(latin, han, strict=True) for word in pair])
    frequency = 1 / np.arange(1, len(words) + 1)
    drawn = random.choice(words, size=(count, WORDS), p=frequency / frequency.sum())
    asked = [row[random.integers(0, WORDS, 8)] for row in drawn[random.integers(0, count, QUERIES)]]
    return [" ".join(row) for row in drawn], [" ".join(row) for row in asked]


def timed(call: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def fill(index: LexicalIndex | VectorIndex, put: Callable[[range], None], count: int) -> Figures:
    """Entries a second, as the follower fills an index."""

    def run() -> None:
        with index.exclusive(1):
            index.clear(1, "bench")
            for first in range(0, count, CHUNK):
                put(range(first, min(first + CHUNK, count)))
            index.refresh(1, count)

    return {"entries_per_s": round(count / timed(run))}


def edit(index: LexicalIndex | VectorIndex, put: Callable[[range], None], count: int) -> Figures:
    """Median time until one changed entry can be found."""

    def run(n: int) -> None:
        with index.exclusive(1):
            put(range(n, n + 1))
            index.refresh(1, count + n + 1)

    return {"edit_ms": round(1000 * float(np.median([timed(lambda n=n: run(n)) for n in range(20)])), 1)}


def searched(search: Callable[[int, Filters], list[Hit]], name: str) -> tuple[Figures, list[list[Hit]]]:
    """Latency of every question under one filter, and the hits."""
    found, times_ms = [], []
    for n in range(QUERIES):
        start = time.perf_counter()
        found.append(search(n, FILTERS[name]))
        times_ms.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(times_ms, [50, 95])
    return {"filter": name, "p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}, found


def measure_words(indexes: dict[str, LexicalIndex], count: int) -> list[Figures]:
    """Both lexical indexes over the same texts."""
    rows, questions = texts(count)
    cases, scores = [], dict[tuple[str, str], list[list[Hit]]]()
    for name, index in indexes.items():

        def put(ids: range, index: LexicalIndex = index) -> None:
            index.put(1, [IndexEntry(id=n, text=rows[n], facts=facts_of(n)) for n in ids])

        case: Figures = {"index": name, "entries": count, **fill(index, put, count)}
        searches = []
        for filter in FILTERS:
            figures, scores[name, filter] = searched(lambda n, by, index=index: index.search_normalized(questions[n], 20, KB, by), filter)
            searches.append(figures)
        cases.append({**case, "searches": searches, **edit(index, put, count)})
        print(json.dumps(cases[-1]), flush=True)
    embedded, elastic = list(indexes)
    cases[-1]["score_difference"] = max(difference(scores[embedded, filter], scores[elastic, filter]) for filter in FILTERS)
    return cases


def difference(one: Sequence[list[Hit]], other: Sequence[list[Hit]]) -> float:
    """The largest difference of the scores at the same place."""
    return round(max(abs(a.score - b.score) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)), 6)


def measure_vectors(indexes: dict[str, VectorIndex], count: int, settle: Callable[[VectorIndex], None]) -> list[Figures]:
    """The vector indexes over the same vectors."""
    rows = question_vectors(count + QUERIES)
    questions, rows = rows[:QUERIES], rows[QUERIES:]
    truth = {name: nearest(rows, questions, filters) for name, filters in FILTERS.items()}
    cases = []
    for name, index in indexes.items():

        def put(ids: range, index: VectorIndex = index) -> None:
            index.put(1, ids, rows[ids.start : ids.stop], [facts_of(n) for n in ids])

        case: Figures = {
            "index": name,
            "entries": count,
            **fill(index, put, count),
            "graph_s": round(timed(lambda index=index: settle(index)), 1),
        }
        searches = []
        for filter in FILTERS:
            figures, found = searched(lambda n, by, index=index: index.search(questions[n], K, KB, by), filter)
            right = sum(len({hit.id for hit in hits} & own) for hits, own in zip(found, truth[filter], strict=True))
            searches.append({**figures, "recall_at_10": round(right / (K * QUERIES), 4)})
        cases.append({**case, "searches": searches, **edit(index, put, count)})
        print(json.dumps(cases[-1]), flush=True)
    return cases


def nearest(rows: FloatArray, questions: FloatArray, filters: Filters) -> list[set[int]]:
    """The `K` nearest that the filters admit, by the full product."""
    ids = np.array([n for n in range(len(rows)) if filters.admits(facts_of(n))])
    return [set(ids[np.argsort(-(rows[ids] @ question))[:K]].tolist()) for question in questions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "elastic.json")
    options = parser.parse_args()
    client, prefix = open_client(Settings(elasticsearch_url=options.url)), f"bench{uuid.uuid4().hex[:8]}"
    connection = ElasticConnection(client, prefix=prefix, timeout_s=30.0)

    def settle(index: VectorIndex) -> None:
        if isinstance(index, FaissIndex):
            index.wait_for_maintenance()
        elif isinstance(index, ElasticVectorIndex):
            client.options(request_timeout=600).indices.forcemerge(index=index.alias(1), max_num_segments=1)

    try:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            words = {"embedded": EmbeddedLexicalIndex(folder=home), "elasticsearch": ElasticLexicalIndex(connection=connection)}
            lexical = measure_words(words, options.entries)
            exact: dict[str, VectorIndex] = {
                "faiss exact": FaissIndex(folder=home / "exact", exact_max=options.entries),
                "elasticsearch flat": ElasticVectorIndex(connection=connection, exact_max=options.entries),
                "faiss graph": FaissIndex(folder=home / "graph", exact_max=100),
                "elasticsearch int8_hnsw": ElasticVectorIndex(connection=connection, exact_max=100),
            }
            vector = measure_vectors(exact, options.entries, settle)
    finally:
        names = list(client.indices.get(index=f"{prefix}-*", features=["aliases"]))
        client.options(request_timeout=60).indices.delete(index=names)
        connection.close()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"cores": os.cpu_count(), "lexical": lexical, "vector": vector}, indent=1) + "\n")


if __name__ == "__main__":
    main()
