"""How long do 32 threads wait to write to SQLite, with Django's backend and with the queue of `qa_project.sqlite`?

    python -m bench.sqlite_writers      prints both and writes bench/results/sqlite_writers.json

Each thread writes as a turn does: one transaction of two inserts, then one of an update. Both backends run in one process,
one after the other, on databases of their own in a temporary folder.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("QA_DATA_DIR", tempfile.mkdtemp(prefix="wenlu-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connections, transaction  # noqa: E402

THREADS, TURNS = 32, 40
BACKENDS = {"django.db.backends.sqlite3": "plain", "qa_project.sqlite": "queued"}


def write_turns(alias: str, took_ms: list[float]) -> None:
    """Writes `TURNS` turns in this thread and notes how long each took."""
    for _ in range(TURNS):
        began = time.perf_counter()
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute("INSERT INTO conversation (owner) VALUES ('x')")
            cursor.execute("INSERT INTO turn (question) VALUES ('how many days?')")
            row = cursor.lastrowid
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute("UPDATE turn SET answer = 'ten days' WHERE id = %s", [row])
        took_ms.append((time.perf_counter() - began) * 1000)
    connections[alias].close()


def measure(engine: str, folder: Path) -> dict[str, float]:
    """Turns a second, and the median and 95th percentile of one turn's writing, ms."""
    alias = BACKENDS[engine]
    default = settings.DATABASES["default"]
    connections.settings[alias] = {
        **connections["default"].settings_dict,
        "ENGINE": engine,
        "NAME": str(folder / alias),
        "OPTIONS": default["OPTIONS"],
    }
    with connections[alias].cursor() as cursor:
        cursor.execute("CREATE TABLE conversation (id INTEGER PRIMARY KEY, owner TEXT)")
        cursor.execute("CREATE TABLE turn (id INTEGER PRIMARY KEY, question TEXT, answer TEXT)")
    took_ms: list[float] = []
    threads = [threading.Thread(target=write_turns, args=(alias, took_ms)) for _ in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return {
        "turns_per_s": round(len(took_ms) / seconds, 1),
        "p50_ms": round(statistics.median(took_ms), 2),
        "p95_ms": round(sorted(took_ms)[int(len(took_ms) * 0.95)], 2),
    }


def main() -> None:
    """Measures both backends and writes the result."""
    with tempfile.TemporaryDirectory() as folder:
        result = {alias: measure(engine, Path(folder)) for engine, alias in BACKENDS.items()}
    result["ratio"] = {"turns_per_s": round(result["queued"]["turns_per_s"] / result["plain"]["turns_per_s"], 2)}
    Path("bench/results").mkdir(exist_ok=True)
    Path("bench/results/sqlite_writers.json").write_text(json.dumps({"threads": THREADS, "turns": TURNS, **result}, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
