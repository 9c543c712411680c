"""What does a request cost before its view does anything? Our handler against Django's own ASGI handler.

    python bench/http_overhead.py [--seconds 4] [--out bench/results/http_overhead.json]

Both handle the same requests in this process, without a socket: `/healthz` runs the middleware alone, `/` asks the database
(SQLite) and renders the chat page. The handlers take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CALLERS = 32
ROUNDS = 5
PATHS = ("/healthz", "/")

Handler = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
Figures = dict[str, float | int | str]


async def request(handler: Handler, path: str) -> None:
    """One GET request through the handler. Raises AssertionError unless it is answered with 200."""
    headers = [(b"host", b"localhost"), (b"accept-language", b"en")]
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
    scope |= {
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        "asgi": {"version": "3.0"},
    }
    frames = [{"type": "http.request", "body": b"", "more_body": False}]
    statuses = []

    async def receive() -> dict[str, Any]:
        if frames:
            return frames.pop()
        return await asyncio.Future()  # the client stays until it has its answer

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await handler(scope, receive, send)
    assert statuses == [200], (path, statuses)


async def measure(handler: Handler, path: str, *, callers: int, seconds: float) -> list[float]:
    """Durations in seconds of the requests that so many callers made, one after the other each, in that time."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < end:
            await request(handler, path)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return took


async def compare(handlers: dict[str, Handler], seconds: float) -> list[Figures]:
    """One row of figures for each handler, path and number of callers."""
    rows: list[Figures] = []
    for path in PATHS:
        for callers in (1, CALLERS):
            found: dict[str, list[list[float]]] = {name: [] for name in handlers}
            for _ in range(ROUNDS):
                for name, handler in handlers.items():
                    found[name].append(await measure(handler, path, callers=callers, seconds=seconds / ROUNDS))
            rows += [figures(name, path, callers, rounds, seconds) for name, rounds in found.items()]
    return rows


def figures(name: str, path: str, callers: int, rounds: list[list[float]], seconds: float) -> Figures:
    """Median milliseconds of a request and requests a second."""
    took = [one for each in rounds for one in each]
    return {
        "handler": name,
        "path": path,
        "callers": callers,
        "p50_ms": round(statistics.median(took) * 1000, 3),
        "requests_per_s": round(len(took) / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="time for each handler, path and number of callers")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "http_overhead.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(QA_DATA_DIR=folder, DJANGO_SETTINGS_MODULE="qa_project.settings")
        import django

        django.setup()
        from django.core.handlers.asgi import ASGIHandler
        from django.core.management import call_command

        from qa_project.threads import ThreadedHandler

        call_command("migrate", interactive=False, verbosity=0)
        rows = asyncio.run(compare({"ours": ThreadedHandler(), "django": ASGIHandler()}, options.seconds))
    for row in rows:
        print("  ".join(f"{name}={value}" for name, value in row.items()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"cores": os.cpu_count(), "cases": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
