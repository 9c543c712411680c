"""The panel's page of models and the workers in /metrics: what runs where, from the heartbeats in Redis."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis
from django.test import Client

from core.worker_registry import ServedModel, WorkerRecord, write_worker
from tests.inference_workers import redis_url
from tests.panel import SignIn

PAGE = "/admin/serving/models/"


@pytest.fixture
def worker(configure: Callable[..., None]) -> WorkerRecord:
    """A worker that was heard of just now."""
    url, now = redis_url(5), time.time()
    encoder = ServedModel(role="encoder", model_id="e5@1", waiting=2, mean_batch=7.5, p95_ms=12.5, requests=10, batches=4, texts=3012)
    generator = ServedModel(
        role="generator", model_id="smollm2", waiting=0, mean_batch=1.0, p95_ms=9.0, requests=7, batches=90, texts=90,
        tokens=640, stops=3, stop_p95_ms=100.0,
    )  # fmt: skip
    record = WorkerRecord(
        id="gpu-1", host="machine-7", pid=4711, device="cuda:0", memory_mb=900, device_memory_mb=700, concurrency=32, running=1,
        models=(encoder, generator), started_at=now - 600, heartbeat_at=now,
    )  # fmt: skip
    with redis.Redis.from_url(url) as client:
        write_worker(client, record)
    configure(redis_url=url, encoder_backend="workers.remote.RemoteEncoder")
    return record


def test_an_administrator_sees_each_worker_and_its_models(worker: WorkerRecord, sign_in: SignIn) -> None:
    page = sign_in("admin", everywhere=True).get(PAGE).content.decode()
    for shown in ("machine-7", "4711", "cuda:0", "900 MiB", "700 MiB", "1 / 32", "10 min", "Encoder", "e5@1", "7.5", "12.5 ms", "3012"):
        assert shown in page, shown


def test_the_part_that_renews_itself_comes_alone(worker: WorkerRecord, sign_in: SignIn) -> None:
    part = sign_in("admin", everywhere=True).get(PAGE, {"part": 1}).content.decode()
    assert "machine-7" in part and "<html" not in part


def test_it_speaks_chinese(worker: WorkerRecord, sign_in: SignIn) -> None:
    page = sign_in("admin", everywhere=True, language="zh-hans").get(PAGE).content.decode()
    assert "模型与工作进程" in page and "平均批量" in page


def test_without_a_worker_it_says_what_that_means(sign_in: SignIn, configure: Callable[..., None]) -> None:
    configure(redis_url=redis_url(5), encoder_backend="workers.remote.RemoteEncoder")
    assert "No worker is alive" in sign_in("admin", everywhere=True).get(PAGE).content.decode()


def test_without_redis_it_says_so(sign_in: SignIn, configure: Callable[..., None]) -> None:
    configure(redis_url="redis://127.0.0.1:1/0", encoder_backend="workers.remote.RemoteEncoder")
    assert "Redis does not answer" in sign_in("admin", everywhere=True).get(PAGE).content.decode()


def test_models_of_the_web_process_are_shown_where_no_workers_are_used(sign_in: SignIn) -> None:
    page = sign_in("admin", everywhere=True).get(PAGE).content.decode()
    assert "In this web process" in page and "multilingual-e5-small" in page and "the encoder&#x27;s token vectors" in page


@pytest.mark.parametrize("role", ["editor", "reviewer", "viewer"])
def test_others_may_not_see_it(role: str, sign_in: SignIn) -> None:
    client = sign_in(role, everywhere=True)
    assert client.get(PAGE).status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()


def test_a_stranger_is_sent_to_sign_in(db: None) -> None:
    assert Client().get(PAGE).status_code == 302


def test_metrics_tell_of_every_worker(worker: WorkerRecord, db: None) -> None:
    text = Client().get("/metrics").content.decode()
    labels = 'model="e5@1",role="encoder",worker="gpu-1"'
    assert "wenlu_workers_alive 1.0" in text and "wenlu_workers_readable 1.0" in text
    assert f"wenlu_worker_p95_seconds{{{labels}}} 0.0125" in text
    assert f"wenlu_worker_texts_total{{{labels}}} 3012.0" in text
    labels = 'model="smollm2",role="generator",worker="gpu-1"'
    assert f"wenlu_worker_stop_p95_seconds{{{labels}}} 0.1" in text and f"wenlu_worker_stops_total{{{labels}}} 3.0" in text
    assert f"wenlu_worker_tokens_total{{{labels}}} 640.0" in text
    assert 'wenlu_worker_memory_bytes{device="cuda:0",host="machine-7",worker="gpu-1"}' in text


def test_metrics_answer_without_redis(configure: Callable[..., None], db: None) -> None:
    configure(redis_url="redis://127.0.0.1:1/0")
    text = Client().get("/metrics").content.decode()
    assert "wenlu_workers_readable 0.0" in text and "wenlu_workers_alive" not in text


def test_metrics_tell_what_no_worker_has_taken_yet(worker: WorkerRecord, db: None) -> None:
    with redis.Redis.from_url(redis_url(5)) as client:
        write_worker(client, worker)
        client.lpush("encoder.live", "a message", "another")
    text = Client().get("/metrics").content.decode()
    assert 'wenlu_queue_messages{queue="encoder.live"} 2.0' in text
    assert 'wenlu_queue_messages{queue="generator.bulk"} 0.0' in text
