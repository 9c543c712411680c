"""How fast do 16 callers search 200,000 entries by words and by vectors, with filters and without? The embedded indexes alone.

    python bench/index_threads.py [--entries 200000] [--callers 16] [--out bench/results/index_threads.json]

Texts are 60 words drawn by Zipf's law from 50,000; a question is 12 words of one text. Vectors are those of vector_search.py.
A tag that 1 in 2, 1 in 50 or 1 in 2,000 entries has is the filter. Callers ask one question after the other without a pause,
so that every core is busy all the time: a search takes `callers / cores` times what it costs. Encoding, fusion and the
database are not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import core.native  # noqa: F401 I001 - before numpy
import numpy as np

from apps.retrieval.indexes.faiss_index import FaissIndex
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from vector_search import KB, question_vectors
from core.types import NO_FILTERS, EntryKind, Facts, Filters, FloatArray, IndexEntry

K, WORDS, TEXT_WORDS, QUESTION_WORDS, QUESTIONS, CHUNK = 50, 50_000, 60, 12, 640, 2_000
SHARES = {"half": 2, "2 %": 50, "0.05 %": 2_000}

Search = Callable[[int], object]


def some_texts(count: int) -> list[list[str]]:
    """The words of each text."""
    chance = 1.0 / np.arange(1, WORDS + 1)
    drawn = np.random.default_rng(0).choice(WORDS, (count, TEXT_WORDS), p=chance / chance.sum())
    names = [f"{'bcdfghklmnprstvz'[n % 16]}{'aeiou'[n % 5]}{n:x}" for n in range(WORDS)]
    return [[names[word] for word in row] for row in drawn]


def facts_of(entry: int) -> Facts:
    """One tag for each share that has this entry, and a day."""
    return Facts(terms=(*(name for name, part in SHARES.items() if entry % part == 0), f"tag={entry % 97}"), day=entry % 4_000)


def fill(words: EmbeddedLexicalIndex, vectors: FaissIndex, texts: list[list[str]], rows: FloatArray) -> dict[str, float]:
    """Puts everything in as the follower does; seconds of each index."""
    start = time.perf_counter()
    with words.exclusive(1):
        for first in range(0, len(texts), CHUNK):
            chunk = enumerate(texts[first : first + CHUNK], start=first)
            words.put(1, [IndexEntry(id=n, text=" ".join(text), facts=facts_of(n)) for n, text in chunk])
        words.refresh(1, 1)
    between = time.perf_counter()
    with vectors.exclusive(1):
        vectors.put(1, range(len(rows)), rows, [facts_of(n) for n in range(len(rows))])
        vectors.refresh(1, 1)
    vectors.wait_for_maintenance()
    return {"words_built_s": round(between - start, 1), "vectors_built_s": round(time.perf_counter() - between, 1)}


def asked_by_many(search: Search, callers: int) -> dict[str, float]:
    """Milliseconds of every search while `callers` threads share the questions, and searches a second."""
    times_ms: list[float] = []
    numbers = iter(range(QUESTIONS))

    def ask() -> None:
        for number in numbers:
            start = time.perf_counter()
            search(number)
            times_ms.append(1000 * (time.perf_counter() - start))

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p95 = np.percentile(times_ms, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "a_second": round(QUESTIONS / (time.perf_counter() - begun))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "index_threads.json")
    options = parser.parse_args()
    texts, vectors = some_texts(options.entries), question_vectors(options.entries + QUESTIONS)
    asked, rows = vectors[:QUESTIONS], vectors[QUESTIONS:]
    random = np.random.default_rng(1)
    questions = [" ".join(random.choice(texts[n], QUESTION_WORDS)) for n in random.integers(0, len(texts), QUESTIONS)]
    with tempfile.TemporaryDirectory() as folder:
        lexical, nearest = EmbeddedLexicalIndex(EntryKind.PASSAGE, folder=Path(folder)), FaissIndex(EntryKind.PASSAGE, folder=Path(folder))
        row: dict[str, object] = {"cores": os.cpu_count(), "entries": options.entries, "callers": options.callers, "k": K}
        row |= fill(lexical, nearest, texts, rows)
        for name, filters in {
            "all": NO_FILTERS,
            **{name: Filters(any_of=(frozenset({name}),)) for name in SHARES},
            "day": Filters(since_day=3_600),
        }.items():
            searches: dict[str, Search] = {
                "words": lambda n, filters=filters: lexical.search_normalized(questions[n], K, KB, filters),
                "vectors": lambda n, filters=filters: nearest.search(asked[n], K, KB, filters),
            }
            for kind, search in searches.items():
                row[f"{kind}, {name}"] = {"one": asked_by_many(search, 1), "many": asked_by_many(search, options.callers)}
                print(kind, name, row[f"{kind}, {name}"], flush=True)
        nearest.close()
    options.out.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
