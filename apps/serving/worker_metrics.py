"""The inference workers in Prometheus' terms: any web process tells of all of them, because a worker has no port of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.serving.health import messages_waiting, workers_alive
from core.config import get_settings
from core.errors import ModelUnavailable
from core.worker_registry import ServedModel, WorkerRecord

_WORKER = ("worker", "host", "device")
_MODEL = ("worker", "role", "model")


class WorkerCollector(Collector):
    """Reads the heartbeats at each scrape. Nothing where there is no Redis; `wenlu_workers_readable` 0 where it does not answer."""

    def collect(self) -> Iterator[Metric]:
        """Gauges and counters of each worker alive."""
        if not get_settings().redis_url:
            return
        readable = GaugeMetricFamily("wenlu_workers_readable", "Whether the record of inference workers could be read.")
        try:
            workers = workers_alive()
            waiting = messages_waiting(workers)
        except ModelUnavailable:
            readable.add_metric((), 0)
            yield readable
            return
        readable.add_metric((), 1)
        yield readable
        yield from _of_queues(waiting)
        yield from _of_workers(workers)
        yield from _of_models(workers)

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask Redis."""
        return iter(())


def register_worker_metrics() -> None:
    """Adds the workers to `/metrics` of this process."""
    REGISTRY.register(WorkerCollector())


def _of_queues(waiting: Mapping[str, int]) -> Iterator[Metric]:
    family = GaugeMetricFamily("wenlu_queue_messages", "Messages in Redis that no inference worker has taken yet.", labels=("queue",))
    for name, count in waiting.items():
        family.add_metric((name,), count)
    yield family


def _of_workers(workers: list[WorkerRecord]) -> Iterator[Metric]:
    now = time.time()
    alive = GaugeMetricFamily("wenlu_workers_alive", "Inference workers alive.")
    alive.add_metric((), len(workers))
    yield alive
    for name, help_text, value in (
        ("wenlu_worker_memory_bytes", "Resident memory of an inference worker.", lambda one: one.memory_mb * 2**20),
        ("wenlu_worker_device_memory_bytes", "GPU memory that an inference worker holds.", lambda one: one.device_memory_mb * 2**20),
        ("wenlu_worker_running", "Requests that an inference worker has taken.", lambda one: one.running),
        (
            "wenlu_worker_heartbeat_age_seconds",
            "Time since an inference worker was heard of; below 0 where its clock is ahead.",
            lambda one: now - one.heartbeat_at,
        ),
    ):
        family = GaugeMetricFamily(name, help_text, labels=_WORKER)
        for worker in workers:
            family.add_metric((worker.id, worker.host, worker.device), value(worker))
        yield family


def _of_models(workers: list[WorkerRecord]) -> Iterator[Metric]:
    served = [(worker, model) for worker in workers for model in worker.models]
    gauges = (
        ("wenlu_worker_waiting", "Texts that wait for a model of an inference worker.", lambda model: model.waiting),
        ("wenlu_worker_mean_batch", "Texts a forward pass, of the last busy seconds.", lambda model: model.mean_batch),
        (
            "wenlu_worker_p95_seconds",
            "95th percentile from taking a request to its reply, of the last ones.",
            lambda model: model.p95_ms / 1000,
        ),
        (
            "wenlu_worker_stop_p95_seconds",
            "95th percentile from somebody's stop to the free place of the text, at most.",
            lambda model: model.stop_p95_ms / 1000,
        ),
    )
    counters = (
        ("wenlu_worker_requests", "Requests that an inference worker answered.", lambda model: model.requests),
        ("wenlu_worker_batches", "Forward passes of an inference worker.", lambda model: model.batches),
        ("wenlu_worker_texts", "Texts that went through forward passes of an inference worker.", lambda model: model.texts),
        ("wenlu_worker_tokens", "Tokens that the generator of an inference worker wrote.", lambda model: model.tokens),
        ("wenlu_worker_stops", "Texts of an inference worker that somebody stopped.", lambda model: model.stops),
    )
    for kind, rows in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
        for name, help_text, value in rows:
            family = kind(name, help_text, labels=_MODEL)
            for worker, model in served:
                family.add_metric(_labels(worker, model), value(model))
            yield family


def _labels(worker: WorkerRecord, model: ServedModel) -> tuple[str, str, str]:
    return worker.id, model.role, model.model_id
