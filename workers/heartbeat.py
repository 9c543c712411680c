"""What a worker says of itself: a record in Redis every two seconds, from its start to its end."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections import deque
from pathlib import Path

import redis
from prometheus_client import REGISTRY

from core.worker_registry import HEARTBEAT_S, WorkerRecord, remove_worker, write_worker

log = logging.getLogger(__name__)

TIMES_KEPT = 512


class Load:
    """What a worker has to do, counted by its threads."""

    def __init__(self) -> None:
        self.running = 0
        self.requests = 0
        self._milliseconds: deque[float] = deque(maxlen=TIMES_KEPT)
        self._lock = threading.Lock()

    def begin(self) -> float:
        """A request was taken; returns what `end` is told."""
        with self._lock:
            self.running += 1
        return time.perf_counter()

    def end(self, began: float) -> None:
        """It was answered."""
        with self._lock:
            self.running -= 1
            self.requests += 1
            self._milliseconds.append((time.perf_counter() - began) * 1000)

    def p95_ms(self) -> float:
        """Of the last requests; 0 before the first."""
        with self._lock:
            times = sorted(self._milliseconds)
        return round(times[int(len(times) * 0.95)], 1) if times else 0.0


class Heartbeat:
    """Keeps the worker's record alive until `close`. `model` names the batcher whose metrics it reports."""

    def __init__(
        self, client: redis.Redis, *, roles: tuple[str, ...], model_id: str, device: str, model: str, concurrency: int, load: Load
    ) -> None:
        self._redis = client
        self._model = model
        self._load = load
        self._counted = (0, 0)
        self._mean_batch = 0.0
        self._facts = {
            "id": f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "roles": roles,
            "model_id": model_id,
            "device": device,
            "concurrency": concurrency,
            "started_at": time.time(),
        }
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The last word: the worker is gone."""
        self._closed.set()
        self._thread.join(timeout=5)
        try:
            remove_worker(self._redis, str(self._facts["id"]))
        except redis.RedisError as error:
            log.warning("worker record left to expire error=%r", error)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                write_worker(self._redis, self._record())
            except redis.RedisError as error:
                log.warning("heartbeat not written error=%r", error)
            self._closed.wait(HEARTBEAT_S)

    def _record(self) -> WorkerRecord:
        batches, texts = self._count("wenlu_batches_total"), self._count("wenlu_batched_texts_total")
        return WorkerRecord(
            **self._facts,  # type: ignore[arg-type]
            memory_mb=memory_mb(),
            running=self._load.running,
            requests=self._load.requests,
            waiting=self._count("wenlu_batch_waiting"),
            batches=batches,
            texts=texts,
            mean_batch=self._recent_mean_batch(batches, texts),
            p95_ms=self._load.p95_ms(),
            heartbeat_at=time.time(),
        )

    def _count(self, name: str) -> int:
        return int(REGISTRY.get_sample_value(name, {"model": self._model}) or 0)

    def _recent_mean_batch(self, batches: int, texts: int) -> float:
        """Texts a forward pass since the last heartbeat in which there were any."""
        if batches > self._counted[0]:
            self._mean_batch = round((texts - self._counted[1]) / (batches - self._counted[0]), 2)
        self._counted = (batches, texts)
        return self._mean_batch


def memory_mb() -> int:
    """Resident memory of this process, in MiB; its peak where the system does not tell the present."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
