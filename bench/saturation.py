"""Do workers leak at saturation? Memory, threads, connections and files of web side and workers, sampled while callers never pause.

`python -m bench.saturation --redis redis://host:port [--minutes 10]` empties and uses database 13 there, starts two workers and asks
from 64 threads of this process, which stands for a web process: half of the callers ask questions, the others rerank or give up halfway.
What workers remember of passages is filled before the clock starts. It prints a line a sample, and at the end how much each figure grew
a minute (least squares over what comes after the first two minutes); writes `bench/results/saturation.json`. It ends with status 1 where
something grew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np
import redis

import core.native  # noqa: F401 - what a server does with its memory
from bench.remote import CALLERS, worker
from core.config import Settings, get_settings
from core.errors import DeadlineExceeded, QAError
from core.types import Priority, Role
from core.worker_registry import read_workers
from workers.broker import ENCODER, worker_arguments
from workers.dispatch import Dispatcher
from workers.remote import RemoteEncoder, RemoteReranker
from workers.wire import EncodeBody, encode_as_dict

RESULT = Path(__file__).parent / "results" / "saturation.json"
DATABASE = 13
WORKERS = 2
CACHED = 500
CONCURRENCY = 8  # threads come as they are needed: with few of them all are there, with their connections, within the warm-up
SAMPLE_S = 5.0
WARM_UP_S = 120.0
FILLERS = 8  # few, so that none waits for longer than a deadline
FILLING_CALLS = 50  # from each filler
FILLING_PASSAGES = 16  # a call; 6400 in all, of 26 KiB: twice the 64 MiB of token vectors that each worker keeps, and a quarter more
RERANKED_WORDS = 20
MAX_GROWTH_A_MINUTE = {"memory_mb": 0.3, "threads": 0.5, "connections": 0.5, "files": 0.5}
WORDS = [
    "password",
    "payslip",
    "leave",
    "vpn",
    "printer",
    "meeting",
    "invoice",
    "card",
    "密码",
    "工资",
    "年假",
    "打印机",
    "会议室",
    "发票",
    "门禁",
    "报销",
]

Sample = dict[str, float]


class Callers:
    """Threads that never pause. Half ask, the rest rerank, send imports or cancel what they asked."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher) -> None:
        self._encoder = RemoteEncoder(dispatcher)
        self._reranker = RemoteReranker(dispatcher)
        self._dispatcher = dispatcher
        self._timeout_s = settings.remote_timeout_s
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends every caller."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _call(self, number: int) -> None:
        chance = random.Random(number)
        ways = [self._ask, self._ask, self._ask, self._rerank, self._import, self._give_up]
        while not self._stopped.is_set():
            self._try(ways[number % len(ways)], chance)

    def _try(self, way: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            way(chance)
            outcome = way.__name__.strip("_")
        except QAError as error:
            outcome = error.code
        with self._lock:
            self.counts[outcome] += 1

    def _ask(self, chance: random.Random) -> None:
        self._encoder.encode_query(sentence(chance, 12))

    def _rerank(self, chance: random.Random) -> None:
        self._reranker.score(sentence(chance, 6), [sentence(chance, RERANKED_WORDS) for _ in range(4)])

    def _import(self, chance: random.Random) -> None:
        self._encoder.encode([sentence(chance, 30) for _ in range(20)], Role.PASSAGE)

    def _give_up(self, chance: random.Random) -> None:
        body = EncodeBody(texts=(sentence(chance, 12),), text_role=Role.QUERY, wants_tokens=False)
        future = self._dispatcher.submit(ENCODER, encode_as_dict(body), priority=Priority.LIVE, timeout_s=self._timeout_s)
        time.sleep(chance.uniform(0, 0.05))
        future.cancel()


def fill_caches(dispatcher: Dispatcher) -> None:
    """Workers remember as many passages as they ever will: caches that fill later would look like a leak."""
    reranker = RemoteReranker(dispatcher)

    def fill(number: int) -> None:
        chance, answered = random.Random(-1 - number), 0
        while answered < FILLING_CALLS:
            with suppress(DeadlineExceeded):  # on a busy machine; then others are asked for
                reranker.score(sentence(chance, 6), [sentence(chance, RERANKED_WORDS) for _ in range(FILLING_PASSAGES)])
                answered += 1

    with ThreadPoolExecutor(FILLERS) as pool:
        list(pool.map(fill, range(FILLERS)))


def sentence(chance: random.Random, most: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(chance.randint(3, most))) + f" {chance.random()}"


def sample(pid: int) -> Sample:
    """What the system says of a process; connections are its sockets."""
    folder = Path("/proc") / str(pid)
    files = list((folder / "fd").iterdir())
    targets = [str(file.readlink()) for file in files if file.is_symlink()]
    return {
        "memory_mb": int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "threads": len(list((folder / "task").iterdir())),
        "connections": sum(target.startswith("socket:") for target in targets),
        "files": len(targets),
    }


def growth_a_minute(times_s: list[float], values: list[float]) -> float:
    """The slope of the least-squares line."""
    return float(np.polyfit(np.array(times_s) / 60, values, 1)[0]) if len(values) > 2 else 0.0


def watch(pids: dict[str, int], client: redis.Redis, callers: Callers, minutes: float) -> tuple[list[float], dict[str, list[Sample]]]:
    """Samples of every process, and the number of clients that Redis counts, until the time is over."""
    began, times, samples = time.monotonic(), list[float](), {name: list[Sample]() for name in [*pids, "redis"]}
    while time.monotonic() - began < minutes * 60:
        time.sleep(SAMPLE_S)
        times.append(time.monotonic() - began)
        for name, pid in pids.items():
            samples[name].append(sample(pid))
        samples["redis"].append(redis_sample(client))
        print(f"{times[-1]:5.0f} s", {name: _brief(rows[-1]) for name, rows in samples.items()}, dict(callers.counts), flush=True)
    return times, samples


def redis_sample(client: redis.Redis) -> Sample:
    info = client.info()
    return {"memory_mb": info["used_memory"] / 2**20, "connections": info["connected_clients"], "keys": client.dbsize()}


def _brief(row: Sample) -> str:
    return " ".join(f"{value:.0f}" for value in row.values())


def grown(times: list[float], samples: dict[str, list[Sample]]) -> dict[str, Sample]:
    """Growth a minute of each figure of each process over the samples after the warm-up."""
    first = next((index for index, time_s in enumerate(times) if time_s > WARM_UP_S), 0)
    return {
        name: {figure: round(growth_a_minute(times[first:], [row[figure] for row in rows[first:]]), 3) for figure in rows[0]}
        for name, rows in samples.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", help="a Redis server, without a database number")
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    url = f"{arguments.redis}/{DATABASE}"
    os.environ["QA_EMBEDDING_CACHE_ENTRIES"] = str(CACHED)  # full within the warm-up: what grows later is no cache
    settings = get_settings().model_copy(update={"redis_url": url, "worker_concurrency": CONCURRENCY})
    with ExitStack() as stack:
        client = stack.enter_context(redis.Redis.from_url(url))
        client.flushdb()
        for number in range(WORKERS):
            environ = {
                "QA_REDIS_URL": url,
                "QA_LOG_LEVEL": "WARNING",
                "QA_WORKER_ROLES": "encoder,reranker",
                "QA_WORKER_CONCURRENCY": str(CONCURRENCY),
            }
            named = ["-A", "qa_project.celery", *worker_arguments(settings), f"--hostname=saturation-{number}@%h"]
            stack.enter_context(worker(named, environ))
        while len(alive := read_workers(client)) < WORKERS:
            time.sleep(0.2)
        dispatcher = stack.enter_context(closing(Dispatcher(settings)))
        callers = Callers(settings, dispatcher)
        fill_caches(dispatcher)
        pids = {"web": os.getpid(), **{f"worker-{place}": one.pid for place, one in enumerate(alive, 1)}}
        times, samples = watch(pids, client, callers, arguments.minutes)
        callers.stop()
    growth = grown(times, samples)
    leaks = [
        f"{name} {figure} {value:+} a minute"
        for name, figures in growth.items()
        for figure, value in figures.items()
        if value > MAX_GROWTH_A_MINUTE.get(figure, float("inf"))
    ]
    report = {
        "minutes": arguments.minutes,
        "callers": CALLERS,
        "calls": dict(callers.counts),
        "first": {name: rows[0] for name, rows in samples.items()},
        "last": {name: rows[-1] for name, rows in samples.items()},
        "growth_a_minute": growth,
        "leaks": leaks,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    sys.exit(1 if leaks else 0)


if __name__ == "__main__":
    main()
