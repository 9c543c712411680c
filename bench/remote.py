"""What does it cost to run the encoder in inference workers? Reply paths, one caller, 64 callers; ratios within one run.

`python -m bench.remote --redis redis://host:port` empties and uses databases 14 and 15 there; it prints a table and writes
`bench/results/remote.json`. It starts its own workers, one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis

from bench.encoder import questions
from core.config import Settings, get_settings
from core.types import Role
from core.worker_registry import HEARTBEAT_S, ServedModel, read_workers
from workers.broker import worker_arguments
from workers.dispatch import Dispatcher
from workers.encoder import TorchEncoder
from workers.local import LocalEncoder
from workers.remote import RemoteEncoder
from workers.weights import resolve

RESULT = Path(__file__).parent / "results" / "remote.json"
ROOT = Path(__file__).parents[1]
CALLERS = 64
FEW_CALLERS = 16
ROUNDS = 3

Figures = dict[str, float]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def timed_ms(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def from_threads(callers: int, work: Callable[[int], object]) -> float:
    """Seconds until `work(number)` has ended in each of so many threads."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


@contextmanager
def worker(arguments: list[str], environ: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "celery", *arguments], cwd=ROOT, env={**os.environ, **environ})
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def measure_reply_paths(url: str, count: int) -> dict[str, Figures]:
    """Round trips of a task without a model, one caller and a few, the paths in turns."""
    os.environ["BENCH_REDIS_URL"] = url
    from bench.reply_paths import PATHS

    times: dict[str, list[float]] = {path.name: [] for path in PATHS}
    rates: dict[str, list[float]] = {path.name: [] for path in PATHS}
    options = ["--pool=threads", "--concurrency=32", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    with worker(["-A", "bench.reply_paths", "worker", *options], {}):
        for _ in range(ROUNDS):
            for path_class in PATHS:
                with closing(path_class()) as path:
                    path.ask()
                    times[path.name] += [timed_ms(path.ask) for _ in range(count)]
                    seconds = from_threads(FEW_CALLERS, lambda _, ask=path.ask: [ask() for _ in range(count // 8)])
                    rates[path.name].append(FEW_CALLERS * (count // 8) / seconds)
    return {
        name: {
            "p50_ms": statistics.median(times[name]),
            "p95_ms": percentile(times[name], 0.95),
            "few_callers_per_s": statistics.median(rates[name]),
        }
        for name in times
    }


def measure_encoder(settings: Settings, count: int) -> Figures:
    """One caller and many against the same model in this process."""
    folder = resolve(settings.encoder, settings.models_folder)
    raw = TorchEncoder(folder, device=settings.device, precision=settings.encoder_precision, threads=settings.model_threads)
    with worker(["-A", "qa_project.celery", *worker_arguments(settings)], {"QA_REDIS_URL": settings.redis_url, "QA_LOG_LEVEL": "WARNING"}):
        wait_for_worker(settings.redis_url)
        with closing(RemoteEncoder(Dispatcher(settings))) as remote, closing(LocalEncoder()) as local:
            local.load()
            remote.encode_query("warm up")
            rounds = [measure_round(raw, local, remote, settings.redis_url, number, count) for number in range(ROUNDS)]
    return {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}


def measure_round(raw: TorchEncoder, local: LocalEncoder, remote: RemoteEncoder, url: str, number: int, count: int) -> Figures:
    """Everything once; texts differ from round to round, so that no cache helps. Local and remote calls take turns."""
    size = count + CALLERS * count // 8
    asked = questions((number + 1) * size)[number * size :]
    alone, together = asked[:count], asked[count:]
    pairs = [
        (timed_ms(lambda text=text: local.encode_query(text)), timed_ms(lambda text=text: remote.encode_query(text))) for text in alone
    ]
    offline_s = timed_ms(lambda: raw.encode(together, Role.QUERY)) / 1000
    before = counts(url)
    remote_s = from_threads(CALLERS, lambda caller: [remote.encode_query(text) for text in together[caller::CALLERS]])
    after = counts(url)
    offline_again_s = timed_ms(lambda: raw.encode(together, Role.QUERY)) / 1000
    return {
        "local_p50_ms": statistics.median(own for own, _ in pairs),
        "remote_p50_ms": statistics.median(far for _, far in pairs),
        "remote_p95_ms": percentile([far for _, far in pairs], 0.95),
        "overhead_p50_ms": statistics.median(far for _, far in pairs) - statistics.median(own for own, _ in pairs),
        "offline_questions_per_s": 2 * len(together) / (offline_s + offline_again_s),
        "callers_questions_per_s": len(together) / remote_s,
        "callers_over_offline": (offline_s + offline_again_s) / 2 / remote_s,
        "mean_batch": (after.texts - before.texts) / (after.batches - before.batches),
        "questions_per_message": (after.texts - before.texts) / (after.requests - before.requests),
    }


def wait_for_worker(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for _ in range(600):
            if read_workers(client):
                return
            time.sleep(0.1)
    raise SystemExit("The worker did not start.")


def counts(url: str) -> ServedModel:
    """The worker's counters after its next heartbeat."""
    time.sleep(HEARTBEAT_S * 1.2)
    with redis.Redis.from_url(url) as client:
        return read_workers(client)[0].model("encoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", help="a Redis server, without a database number")
    parser.add_argument("--count", type=int, default=200, help="round trips of each measurement in each of three rounds")
    arguments = parser.parse_args()
    for database in (14, 15):
        redis.Redis.from_url(f"{arguments.redis}/{database}").flushdb()
    settings = get_settings().model_copy(update={"redis_url": f"{arguments.redis}/14"})
    report = {
        "settings": {"encoder": settings.encoder, "model_threads": settings.model_threads, "callers": CALLERS, "few_callers": FEW_CALLERS},
        "reply_paths": measure_reply_paths(f"{arguments.redis}/15", arguments.count),
        "encoder": measure_encoder(settings, arguments.count),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
