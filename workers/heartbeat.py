"""What a worker says of itself: a record in Redis every two seconds, from its start to its end."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from prometheus_client import REGISTRY

from core.metrics import GENERATION_STOP_SECONDS
from core.worker_registry import HEARTBEAT_S, ServedModel, WorkerRecord, remove_worker, write_worker
from workers.broker import GENERATOR
from workers.device import device_memory_mb

log = logging.getLogger(__name__)

TIMES_KEPT = 512


class Load:
    """What a worker has to do, counted by its threads, each role apart."""

    def __init__(self) -> None:
        self.running = 0
        self._requests: Counter[str] = Counter()
        self._milliseconds: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=TIMES_KEPT))
        self._lock = threading.Lock()

    @contextmanager
    def counting(self, role: str) -> Iterator[None]:
        """Around one request, from taking it to its reply."""
        with self._lock:
            self.running += 1
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1
                self._requests[role] += 1
                self._milliseconds[role].append((time.perf_counter() - began) * 1000)

    def requests(self, role: str) -> int:
        """How many were answered."""
        return self._requests[role]

    def p95_ms(self, role: str) -> float:
        """Of the last requests; 0 before the first."""
        with self._lock:
            times = sorted(self._milliseconds[role])
        return round(times[int(len(times) * 0.95)], 1) if times else 0.0


class Heartbeat:
    """Keeps the worker's record alive until `close`. `models` are the ids of the models by role; the role names the batcher too."""

    def __init__(self, client: redis.Redis, *, models: Mapping[str, str], device: str, concurrency: int, load: Load) -> None:
        self._redis = client
        self._models = models
        self._load = load
        self._counted: dict[str, tuple[int, int]] = {}
        self._mean_batch: dict[str, float] = {}
        self._id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._device = device
        self._concurrency = concurrency
        self._started_at = time.time()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The last word: the worker is gone."""
        self._closed.set()
        self._thread.join(timeout=5)
        try:
            remove_worker(self._redis, self._id)
        except redis.RedisError as error:
            log.warning("worker record left to expire error=%r", error)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                write_worker(self._redis, self._record())
            except redis.RedisError as error:
                log.warning("heartbeat not written error=%r", error)
            except Exception:  # a worker that says nothing for good would be taken for dead, and never started again
                log.exception("heartbeat broke; it goes on")
            self._closed.wait(HEARTBEAT_S)

    def _record(self) -> WorkerRecord:
        return WorkerRecord(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self._device,
            memory_mb=memory_mb(),
            device_memory_mb=device_memory_mb(self._device),
            concurrency=self._concurrency,
            running=self._load.running,
            models=tuple(self._served(role, model_id) for role, model_id in self._models.items()),
            started_at=self._started_at,
            heartbeat_at=time.time(),
        )

    def _served(self, role: str, model_id: str) -> ServedModel:
        batches, texts = _count("wenlu_batches_total", role), _count("wenlu_batched_texts_total", role)
        return ServedModel(
            role=role,
            model_id=model_id,
            waiting=_count("wenlu_batch_waiting", role),
            mean_batch=self._recent_mean_batch(role, batches, texts),
            p95_ms=self._load.p95_ms(role),
            requests=self._load.requests(role),
            batches=batches,
            texts=texts,
            **(_of_generator() if role == GENERATOR else {}),
        )

    def _recent_mean_batch(self, role: str, batches: int, texts: int) -> float:
        """Texts a forward pass since the last heartbeat in which there were any."""
        batches_before, texts_before = self._counted.get(role, (0, 0))
        if batches > batches_before:
            self._mean_batch[role] = round((texts - texts_before) / (batches - batches_before), 2)
        self._counted[role] = (batches, texts)
        return self._mean_batch.get(role, 0.0)


def _count(name: str, role: str) -> int:
    return int(REGISTRY.get_sample_value(name, {"model": role}) or 0)


def _of_generator() -> dict[str, Any]:
    """What only a generator counts. `stop_p95_ms` is the bucket of the histogram below which 95 % of the stops lie; 0 before the first."""
    buckets = sorted(
        (float(sample.labels["le"]), sample.value)
        for metric in GENERATION_STOP_SECONDS.collect()
        for sample in metric.samples
        if sample.name.endswith("_bucket")
    )
    stops = int(buckets[-1][1])
    return {
        "tokens": int(REGISTRY.get_sample_value("wenlu_generated_tokens_total") or 0),
        "stops": stops,
        "stop_p95_ms": next(1000 * seconds for seconds, below in buckets if below >= 0.95 * stops) if stops else 0.0,
    }


def memory_mb() -> int:
    """Resident memory of this process, in MiB; its peak where the system does not tell the present."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
