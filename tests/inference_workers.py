"""Real inference workers for tests: Celery processes on a Redis database of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
import redis
from django.db import connection

from core.config import Settings
from core.worker_registry import WorkerRecord, read_workers
from workers.broker import worker_arguments

START_S = 90.0
ROOT = Path(__file__).resolve().parents[1]


def redis_url(database: int) -> str:
    """One database of the Redis that WENLU_TEST_REDIS_URL names, emptied; skips the test where none is named."""
    url = os.environ.get("WENLU_TEST_REDIS_URL")
    if not url:
        pytest.skip("needs Redis: set WENLU_TEST_REDIS_URL")
    own = urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
    with redis.Redis.from_url(own) as client:
        client.flushdb()
    return own


def database_url() -> str:
    """The database of the tests, as another process names it in QA_DATABASE_URL."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    host = f"{settings['HOST']}:{settings['PORT']}"
    return f"postgres://{quote(settings['USER'])}:{quote(settings['PASSWORD'])}@{host}/{settings['NAME']}"


def wait_for(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Returns once it is true; fails the test where it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A worker that was started."""

    process: subprocess.Popen[bytes]
    redis_url: str

    def record(self) -> WorkerRecord | None:
        """What it says of itself; None before its first heartbeat and after its end."""
        with redis.Redis.from_url(self.redis_url) as client:
            return next((record for record in read_workers(client) if record.pid == self.process.pid), None)

    def wait_until_alive(self, timeout_s: float = START_S) -> WorkerRecord:
        """Its first heartbeat."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            if record := self.record():
                return record
            time.sleep(0.1)
        raise AssertionError(f"the worker did not start within {timeout_s:g} s; exit code {self.process.poll()}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stopped in its tracks, as a machine that swaps would be."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def start_worker(url: str, environ: Mapping[str, str]) -> Iterator[WorkerProcess]:
    """Starts a worker as the documents say and ends it after the block; `wait_until_alive` tells when it serves."""
    settings = {"QA_REDIS_URL": url, "QA_DEVICE": "cpu", "QA_MODEL_THREADS": "1", "QA_LOG_LEVEL": "WARNING", **environ}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("QA_", "DJANGO_"))}
    roles = environ.get("QA_WORKER_ROLES", "")
    celery = str(Path(sys.executable).parent / "celery")  # as it is started: `python -m celery` has this folder in its path for good
    command = [celery, "-A", "qa_project.celery", *worker_arguments(Settings(redis_url=url, worker_roles=roles))]
    process = subprocess.Popen(command, cwd=ROOT, env={**inherited, **settings})
    try:
        yield WorkerProcess(process, url)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
