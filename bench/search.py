"""How fast is document search with many passages and many callers, the encoder left out?

    [WENLU_BENCH_DATA=DIR] python -m bench.search [--passages 200000] [--callers 16] [--out bench/results/search.json]

Fills a knowledge base in a temporary folder (or in DIR, where the next run finds it): passages of words with Zipf's frequencies, of which the most frequent are
English function words, as in real texts, and the others made up; vectors like those of multilingual-e5-small on texts (see
bench/vector_search.py); token vectors of 128 tokens each. Every caller is a thread of one process that searches as the
search route does, questions of 12 words of a passage, one after the other, without pause. `page` is the route's own work for
a page of ten, with facets and snippets; `k10` is what a turn asks. `public` is a caller whose groups filter the search.
`two_processes` has half of the callers in each of two web processes over one database, as `make stack` runs them.
Reports the parts of one search alone too, so that it can be seen where the time goes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

os.environ["QA_DATA_DIR"] = os.environ.setdefault("WENLU_BENCH_DATA", tempfile.mkdtemp(prefix="wenlu-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")

import core.native  # noqa: F401 - before anything imports numpy

# isort: split
import django
import numpy as np

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import close_old_connections, connections, transaction  # noqa: E402
from tqdm import tqdm  # noqa: E402

from apps.retrieval.documents.facts import facts_of  # noqa: E402
from apps.retrieval.indexes.analysis import ENGLISH_STOP_WORDS  # noqa: E402
from apps.retrieval.indexes.registry import indexes_for  # noqa: E402
from apps.retrieval.models import Document, Entry, EntryVector, IndexGeneration, KnowledgeBase, Passage  # noqa: E402
from apps.retrieval.outbox.follower import follower  # noqa: E402
from apps.retrieval.outbox.indexing import pack_vector  # noqa: E402
from apps.retrieval.search.hybrid import search_passages  # noqa: E402
from apps.retrieval.search.page import search_gate, search_in_turn  # noqa: E402
from apps.retrieval.search.params import Search  # noqa: E402
from apps.retrieval.selectors import scope_of  # noqa: E402
from apps.retrieval.vectors.token_vectors import load_projection  # noqa: E402
from bench.vector_search import DIM, question_vectors  # noqa: E402
from core.types import EncodedQuery, EntryKind, Filters, Scope, SearchMode  # noqa: E402

ENCODER = "multilingual-e5-small@0db63e48749a-64b2e765"
WORDS, WORDS_A_PASSAGE, WORDS_A_QUESTION = 50_000, 120, 12
PASSAGES_A_DOCUMENT, TOKENS, QUESTION_TOKENS, CHUNK = 10, 128, 16, 5_000
FIRST_DAY = date(2020, 1, 1)
START_S = 30.0  # for a process to start, read the index and ask once


def fill(count: int, random: np.random.Generator) -> KnowledgeBase:
    """A knowledge base with `count` passages, their entries, vectors and token vectors."""
    kb = KnowledgeBase.objects.create(slug="bench", name="bench", locale="en", revision=1)
    generation = IndexGeneration.objects.create(kb=kb, number=1, encoder=ENCODER, status=IndexGeneration.Status.ACTIVE)
    projection = load_projection(ENCODER)
    assert projection is not None
    blobs = [random.integers(-127, 128, (TOKENS, projection.kept), dtype=np.int8).tobytes() for _ in range(500)]
    vectors = question_vectors(count)
    texts = sentences(count, random)
    for first in tqdm(range(0, count, CHUNK), desc="filling"):
        size = min(CHUNK, count - first)
        pieces = list(islice(texts, size))
        with transaction.atomic():
            documents = Document.objects.bulk_create(
                document(kb, (first + place) // PASSAGES_A_DOCUMENT, "\n\n".join(pieces[place : place + PASSAGES_A_DOCUMENT]))
                for place in range(0, size, PASSAGES_A_DOCUMENT)
            )
            passages = Passage.objects.bulk_create(
                passage(documents[n // PASSAGES_A_DOCUMENT], n % PASSAGES_A_DOCUMENT, pieces[n]) for n in range(size)
            )
            facts = [facts_of(one.document) for one in passages]
            entries = Entry.objects.bulk_create(
                Entry(kb=kb, kind="passage", owner_id=one.pk, text=one.text, revision=1, terms=list(of.terms), day=of.day)
                for one, of in zip(passages, facts, strict=True)
            )
            EntryVector.objects.bulk_create(
                EntryVector(
                    entry=one, generation=generation, vector=pack_vector(vectors[first + n]), tokens=blobs[(first + n) % len(blobs)]
                )
                for n, one in enumerate(entries)
            )
    return kb


def passage(document: Document, number: int, text: str) -> Passage:
    """A passage; where it stands in its document is asked by nobody here."""
    return Passage(document=document, number=number, text=text, start=0, end=1, section_start=0, section_end=1)


def document(kb: KnowledgeBase, number: int, text: str) -> Document:
    """A document with all that hits are counted by; its text is that of its passages, behind which its other columns lie."""
    return Document(
        kb=kb,
        external_id=f"d{number}",
        title=f"Document {number}",
        text=text,
        language="en",
        category=f"c{number % 10}",
        tags=[f"t{number % 7}", f"u{number % 50}"],
        author=f"a{number % 30}",
        date=FIRST_DAY + timedelta(days=number % 2000),
    )


def sentences(count: int, random: np.random.Generator) -> Iterator[str]:
    """Texts of words whose frequencies follow Zipf's law."""
    names = np.array([*sorted(ENGLISH_STOP_WORDS), *(f"w{number:x}" for number in range(WORDS))])[:WORDS]
    shares = 1 / np.arange(1, WORDS + 1)
    shares /= shares.sum()
    for start in range(0, count, CHUNK):
        for row in names[random.choice(WORDS, (min(CHUNK, count - start), WORDS_A_PASSAGE), p=shares)]:
            yield " ".join(row)


def questions(kb: KnowledgeBase, count: int, random: np.random.Generator) -> list[tuple[str, EncodedQuery]]:
    """Questions with words of a passage, and a vector near it."""
    picked = random.integers(1, Passage.objects.count(), count)
    texts = dict(Passage.objects.filter(pk__in=picked.tolist()).values_list("pk", "text"))
    vectors = question_vectors(count, seed=7)
    found = []
    for place, text in enumerate(texts.values()):
        words = random.choice(text.split(), WORDS_A_QUESTION)
        tokens = random.normal(size=(QUESTION_TOKENS, DIM)).astype(np.float32)
        tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
        found.append((" ".join(words), EncodedQuery(encoder=ENCODER, vector=vectors[place], token_vectors=tokens, encode_ms=0.0)))
    return found


def search_all(
    asked: list[tuple[str, EncodedQuery]], kb: KnowledgeBase, callers: int, *, page: bool, category: str = "", public: bool = False
) -> dict[str, float]:
    """Latency of `callers` threads that share the questions, in milliseconds, and searches a second."""
    began = time.perf_counter()
    took_ms = latencies(asked, kb, callers, page=page, category=category, public=public)
    return summary(took_ms, time.perf_counter() - began)


def latencies(
    asked: list[tuple[str, EncodedQuery]], kb: KnowledgeBase, callers: int, *, page: bool, category: str = "", public: bool = False
) -> list[float]:
    """Milliseconds of each search."""
    took_ms: list[float] = []
    narrowed = {"category": Filters(any_of=(frozenset({f"category={category}"}),))} if category else {}

    def call(own: list[tuple[str, EncodedQuery]]) -> None:
        for text, encoded in own:
            began = time.perf_counter()
            scope = scope_of([kb], groups=() if public else None)
            if page:
                search_in_turn(Search(text=text, narrowed=narrowed), encoded, scope)
            else:
                with search_gate().held():
                    search_passages(text, encoded, scope, k=10)
            took_ms.append((time.perf_counter() - began) * 1000)
        connections.close_all()

    threads = [threading.Thread(target=call, args=(asked[number::callers],)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took_ms


def summary(took_ms: list[float], wall_s: float) -> dict[str, float]:
    """What is reported of many searches."""
    p50, p95 = np.percentile(took_ms, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "searches_per_s": round(len(took_ms) / wall_s, 1)}


def two_processes(asked: list[tuple[str, EncodedQuery]], callers: int, *, page: bool) -> dict[str, float]:
    """As `search_all`, from two processes that began at the same time; each has read the index and asked once before."""
    halves = asked[::2], asked[1::2]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        start_at = time.time() + START_S
        shares = [pool.submit(_share, half, callers // 2, start_at, page) for half in halves]
        results = [share.result() for share in shares]
    return summary([ms for took_ms, _ in results for ms in took_ms], max(wall_s for _, wall_s in results))


def _share(asked: list[tuple[str, EncodedQuery]], callers: int, start_at: float, page: bool) -> tuple[list[float], float]:
    kb = KnowledgeBase.objects.get(slug="bench")
    follower().follow(kb.pk, 1, EntryKind.PASSAGE)
    latencies(asked, kb, callers, page=page)
    late = time.time() - start_at
    if late > 0:
        raise TimeoutError(f"A process was ready {late:.1f} s after the start: the machine is too slow for START_S.")
    time.sleep(-late)
    began = time.perf_counter()
    took_ms = latencies(asked, kb, callers, page=page)
    return took_ms, time.perf_counter() - began


def parts(asked: list[tuple[str, EncodedQuery]], kb: KnowledgeBase) -> dict[str, float]:
    """Median milliseconds of one caller, for each index alone and for the ways of searching."""
    pair, scope = indexes_for(EntryKind.PASSAGE), Scope(kb_ids=(kb.pk,))
    whole = scope_of([kb], groups=None)
    steps = {
        "words": lambda text, encoded: pair.lexical.search_normalized(text, 40, scope),
        "vectors": lambda text, encoded: pair.vector.made_by(encoded.encoder).search(encoded.vector, 40, scope),
        **{mode.value: lambda text, encoded, mode=mode: search_passages(text, encoded, whole, k=10, mode=mode) for mode in SearchMode},
    }
    medians = {}
    for name, step in steps.items():
        took = []
        for text, encoded in asked[:100]:
            began = time.perf_counter()
            step(text, encoded)
            took.append((time.perf_counter() - began) * 1000)
        medians[name] = round(float(np.median(took)), 2)
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--questions", type=int, default=800)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search.json")
    options = parser.parse_args()
    random = np.random.default_rng(3)
    call_command("migrate", verbosity=0)
    kb = KnowledgeBase.objects.filter(slug="bench").first() or fill(options.passages, random)
    began = time.perf_counter()
    follower().follow(kb.pk, 1, EntryKind.PASSAGE)
    indexed_s = time.perf_counter() - began
    wait = getattr(indexes_for(EntryKind.PASSAGE).vector.made_by(ENCODER), "wait_for_maintenance", None)
    if wait is not None:
        wait()
    close_old_connections()
    asked = questions(kb, options.questions, random)
    search_all(asked, kb, 4, page=False)  # as a server that has run for a while: what is asked of the files lies in memory
    figures: dict[str, object] = {
        "cores": os.cpu_count(),
        "passages": options.passages,
        "callers": options.callers,
        "indexed_s": round(indexed_s, 1),
        "graph_s": round(time.perf_counter() - began, 1),
        "parts_ms": parts(asked, kb),
        "one_caller": search_all(asked[:200], kb, 1, page=False),
        "callers_k10": search_all(asked, kb, options.callers, page=False),
        "callers_page": search_all(asked, kb, options.callers, page=True),
        "two_processes_k10": two_processes(asked, options.callers, page=False),
        "two_processes_page": two_processes(asked, options.callers, page=True),
        "callers_page_public": search_all(asked, kb, options.callers, page=True, public=True),
        "callers_page_filtered": search_all(asked, kb, options.callers, page=True, category="c3"),
    }
    for name, value in figures.items():
        print(f"{name}: {value}", flush=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
