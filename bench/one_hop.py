"""What does it save to search vectors beside the encoder? One hop against encoding in a worker and searching here; times and memory.

    python -m bench.one_hop --redis redis://host:port [--vectors 100000] [--count 40]

Empties and uses database 13 there. A worker that serves encoder and search, and four web processes on one database (SQLite, in
a folder that is removed): one asks the worker for both in one hop; two have the question encoded there and search a copy of their
own, `searched_here` one that it followed out of the database, `from_snapshot` one that it found on disk as after a restart; the
last asks the worker twice. They take turns every few seconds, so that other work on the machine slows all alike; the median of the
ratios of each round counts. Vectors are made as in `bench/vector_search.py`; questions are encoded by the default model. Memory of
a web process is read at the end: `own` is what only it has and the system cannot drop, `resident` counts mapped files too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import redis

import core.native  # noqa: F401 - before numpy
from bench.remote import from_threads, percentile, timed_ms, worker
from core.worker_registry import read_workers

RESULT = Path(__file__).parent / "results" / "one_hop.json"
WAYS = ("one_hop", "searched_here", "from_snapshot", "two_hops")
CALLERS = 32
ROUNDS = 15
K = 20
CHUNK = 2_000
DATABASE = 13
KEEPS_VECTORS = ("searched_here", "from_snapshot")
REMOTE = {
    "QA_ENCODER_BACKEND": "workers.remote.RemoteEncoder",
    "QA_RERANKER_BACKEND": "workers.remote.RemoteReranker",
    "QA_GENERATOR_BACKEND": "workers.remote.RemoteGenerator",
    "QA_NEAREST_SEARCH": "workers.remote_search.RemoteNearest",
}

Figures = dict[str, float]


def set_up_django(environ: dict[str, str]) -> None:
    """Settings of this process, then Django."""
    os.environ.update(environ, DJANGO_SETTINGS_MODULE="qa_project.settings")
    import django

    django.setup()


def fill(environ: dict[str, str], vectors: int) -> None:
    """A knowledge base whose FAQ index has so many vectors, in a process of its own."""
    set_up_django(environ)
    from django.core.management import call_command
    from django.db import transaction

    from apps.dialogue.models import Bot
    from apps.retrieval.models import Entry, EntryVector, KnowledgeBase
    from apps.retrieval.outbox.indexing import active_generation, lock_next_revision, pack_vector
    from apps.retrieval.vectors.encoding import encoder
    from bench.vector_search import question_vectors
    from core.types import EntryKind

    call_command("migrate", verbosity=0)
    kb = KnowledgeBase.objects.create(slug="bench", name="Bench")
    Bot.objects.create(slug="bench", name="Bench").kbs.set([kb])
    generation = active_generation(kb, encoder().model_id)
    rows = question_vectors(vectors)
    for start in range(0, vectors, CHUNK):
        with transaction.atomic():
            revision = lock_next_revision(kb)
            entries = Entry.objects.bulk_create(
                Entry(kb=kb, kind=EntryKind.FAQ.value, owner_id=owner, text=f"entry {owner}", revision=revision)
                for owner in range(start, min(start + CHUNK, vectors))
            )
            EntryVector.objects.bulk_create(
                EntryVector(entry=entry, generation=generation, vector=pack_vector(rows[entry.owner_id])) for entry in entries
            )


def serve(way: str, environ: dict[str, str], orders: Connection) -> None:
    """A web process: measures what it is told to until it is told nothing more."""
    set_up_django(environ)
    from apps.retrieval.indexes.registry import indexes_for
    from apps.retrieval.models import KnowledgeBase
    from apps.retrieval.search.nearest import encode_question, nearest_to, vector_search
    from apps.retrieval.selectors import scope_of
    from apps.retrieval.vectors.encoding import encoder
    from core.types import EntryKind

    search = vector_search(EntryKind.FAQ, scope_of([KnowledgeBase.objects.get()]), K)

    def ask(text: str) -> None:
        encoded = encode_question(text, [search] if way == "one_hop" else ())
        assert len(nearest_to(encoded, search)) == K

    encoder().encode_query("warm up")
    before = memory_mb()
    ask("the first question opens the index")
    if way in KEEPS_VECTORS:
        indexes_for(EntryKind.FAQ).vector.made_by(encoder().model_id).wait_for_maintenance()  # type: ignore[attr-defined]
    orders.send(None)
    while (texts := orders.recv()) is not None:
        orders.send(asked(ask, texts))
    after = memory_mb()
    orders.send({f"{name}_mb": after[name] for name in after} | {f"{name}_for_the_index_mb": after[name] - before[name] for name in after})


def asked(ask: Callable[[str], None], texts: list[str]) -> Figures:
    """How long questions take: a quarter of them one after another, the others from many callers at once."""
    alone, together = texts[: len(texts) // 4], texts[len(texts) // 4 :]
    times = [timed_ms(lambda text=text: ask(text)) for text in alone]
    shared: list[float] = []
    lock = threading.Lock()

    def call(number: int) -> None:
        own = [timed_ms(lambda text=text: ask(text)) for text in together[number::CALLERS]]
        with lock:
            shared.extend(own)

    seconds = from_threads(CALLERS, call)
    return {
        "alone_p50_ms": statistics.median(times),
        "alone_p95_ms": percentile(times, 0.95),
        "callers_p50_ms": statistics.median(shared),
        "callers_p95_ms": percentile(shared, 0.95),
        "callers_per_s": len(shared) / seconds,
    }


def memory_mb() -> Figures:
    """Memory of this process, in MiB: what only it has and the system cannot drop, and what is resident, mapped files included."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    kib = {name: int(value.split()[0]) for name, value in rows.items()}
    return {"own": kib["Private_Dirty"] / 1024, "resident": kib["Rss"] / 1024}


class WebProcess:
    """One of the four, and what it measured."""

    def __init__(self, way: str, environ: dict[str, str]) -> None:
        self._orders, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=serve, args=(way, _settings_of(way, environ), theirs))
        self._process.start()
        self._answer()
        self.rounds: list[Figures] = []

    def measure(self, texts: list[str]) -> None:
        self._orders.send(texts)
        self.rounds.append(self._answer())

    def end(self) -> Figures:
        """The medians of its rounds, and its memory."""
        self._orders.send(None)
        memory = self._answer()
        self._process.join()
        return {name: round(statistics.median(one[name] for one in self.rounds), 2) for name in self.rounds[0]} | {
            name: round(value, 1) for name, value in memory.items()
        }

    def _answer(self) -> Figures:
        while not self._orders.poll(1):
            if not self._process.is_alive():
                raise SystemExit("A web process of the benchmark ended.")
        answer: Figures = self._orders.recv()
        return answer


def _settings_of(way: str, environ: dict[str, str]) -> dict[str, str]:
    if way not in KEEPS_VECTORS:
        return environ
    own = {**environ, "QA_NEAREST_SEARCH": "apps.retrieval.search.nearest.LocalNearest"}
    return own if way == "from_snapshot" else {**own, "QA_DATA_DIR": f"{environ['QA_DATA_DIR']}/apart"}


def measure(environ: dict[str, str], count: int) -> tuple[dict[str, Figures], dict[str, Figures]]:
    """The ways in turns, and what each takes over what one hop takes; texts differ everywhere, so that no cache helps."""
    from bench.encoder import questions

    webs = {way: WebProcess(way, environ) for way in WAYS}
    texts = iter(questions(len(WAYS) * (ROUNDS + 1) * 4 * count))
    take: Callable[[int], list[str]] = lambda number: [next(texts) for _ in range(number)]  # noqa: E731
    for web in webs.values():
        web.measure(take(count))  # a round that does not count: batches take their shapes
    for web in webs.values():
        web.rounds.clear()
    for _ in range(ROUNDS):
        for web in webs.values():
            web.measure(take(4 * count))
    ratios = {way: ratios_of(web.rounds, webs["one_hop"].rounds) for way, web in webs.items() if way != "one_hop"}
    return {way: web.end() for way, web in webs.items()}, ratios


def ratios_of(rounds: list[Figures], others: list[Figures]) -> Figures:
    """The median over the rounds of each time over the other's in the same round."""
    times = [name for name in rounds[0] if name.endswith("_ms")]
    return {name: round(statistics.median(one[name] / other[name] for one, other in zip(rounds, others, strict=True)), 2) for name in times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", help="a Redis server, without a database number")
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--count", type=int, default=40, help="questions of one caller in each round; all callers ask three times as many")
    options = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    url = f"{options.redis}/{DATABASE}"
    redis.Redis.from_url(url).flushdb()
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/wenlu.sqlite3"
        environ = {
            "QA_DATA_DIR": folder,
            "QA_DATABASE_URL": database,
            "QA_REDIS_URL": url,
            "QA_LOG_LEVEL": "WARNING",
            "OMP_NUM_THREADS": "1",
            **REMOTE,
        }
        local = {name: value for name, value in environ.items() if name not in REMOTE}
        filler = multiprocessing.Process(target=fill, args=(local, options.vectors))
        filler.start()
        filler.join()
        if filler.exitcode:
            raise SystemExit("The database could not be filled.")
        report = run_worker({**environ, "QA_WORKER_ROLES": "encoder,search"}, options)
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def run_worker(environ: dict[str, str], options: argparse.Namespace) -> dict[str, object]:
    """The report, with a worker that has opened its index before the first question."""
    from core.config import Settings
    from workers.broker import worker_arguments

    settings = Settings(redis_url=environ["QA_REDIS_URL"], worker_roles=environ["QA_WORKER_ROLES"], log_level="WARNING")
    began = time.monotonic()
    with worker(["-A", "qa_project.celery", *worker_arguments(settings)], environ), redis.Redis.from_url(environ["QA_REDIS_URL"]) as client:
        while not read_workers(client):
            time.sleep(0.1)
        ready_s = time.monotonic() - began
        wait_for_snapshot(Path(environ["QA_DATA_DIR"]), options.vectors)
        ways, ratios = measure(environ, options.count)
        record = read_workers(client)[0]
    return {
        "vectors": options.vectors,
        "callers": CALLERS,
        "cores": os.cpu_count(),
        "worker": {"ready_s": round(ready_s, 1), "memory_mb": record.memory_mb},
        "ways": ways,
        "over_one_hop": ratios,
    }


def wait_for_snapshot(data: Path, vectors: int) -> None:
    """Until the worker has built its graph or clusters, where so many vectors want one, and has saved them."""
    from core.config import Settings

    while vectors > Settings().vector_exact_max:
        manifests = list(data.glob("indexes/faq/*/vectors-*/manifest.json"))
        if any("large" in json.loads(file.read_text())["files"] for file in manifests):
            return
        time.sleep(0.5)


if __name__ == "__main__":
    main()
