"""Does a web process see which workers are alive, and forget those that died?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import orjson
import pytest
import redis

from apps.serving.health import workers_alive
from core import worker_registry
from core.config import get_settings
from core.errors import ModelUnavailable
from core.worker_registry import ServedModel, WorkerRecord, remove_worker, write_worker
from tests.inference_workers import redis_url
from workers import heartbeat


@pytest.fixture
def use_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], redis.Redis]]:
    def use(url: str) -> redis.Redis:
        monkeypatch.setenv("QA_REDIS_URL", url)
        get_settings.cache_clear()
        return redis.Redis.from_url(url)

    yield use
    monkeypatch.undo()
    get_settings.cache_clear()


def record(name: str, started_at: float) -> WorkerRecord:
    return WorkerRecord(
        id=name,
        host="here",
        pid=1,
        device="cuda:0",
        memory_mb=900,
        device_memory_mb=700,
        concurrency=32,
        running=1,
        models=(
            ServedModel(role="encoder", model_id="m@1", waiting=2, mean_batch=7.5, p95_ms=12.5, requests=10, batches=4, texts=30),
            ServedModel(role="reranker", model_id="r@1", waiting=0, mean_batch=0.0, p95_ms=0.0, requests=0, batches=0, texts=0),
        ),
        started_at=started_at,
        heartbeat_at=started_at + 5,
    )


def test_what_workers_say_is_what_is_read_oldest_first(use_redis: Callable[[str], redis.Redis]) -> None:
    client, old, new = use_redis(redis_url(12)), record("b", 100.0), record("a", 200.0)
    write_worker(client, new)
    write_worker(client, old)
    assert workers_alive() == [old, new]
    remove_worker(client, "b")
    assert workers_alive() == [new]


def test_what_a_worker_of_a_later_version_adds_is_passed_over(use_redis: Callable[[str], redis.Redis]) -> None:
    client, here = use_redis(redis_url(12)), record("a", 100.0)
    write_worker(client, here)
    said = orjson.loads(client.get("wenlu:worker:a"))
    said["models"][0]["mood"] = said["mood"] = "fine"
    client.set("wenlu:worker:a", orjson.dumps(said))
    assert workers_alive() == [here]


def test_a_worker_that_says_no_more_is_forgotten(use_redis: Callable[[str], redis.Redis], monkeypatch: pytest.MonkeyPatch) -> None:
    client = use_redis(redis_url(12))
    monkeypatch.setattr(worker_registry, "ALIVE_S", 0.05)
    write_worker(client, record("a", 100.0))
    time.sleep(0.1)
    assert workers_alive() == []
    assert client.keys("*") == []


def test_a_heartbeat_that_cannot_be_made_is_not_the_last(use_redis: Callable[[str], redis.Redis], monkeypatch: pytest.MonkeyPatch) -> None:
    client, answers = use_redis(redis_url(12)), iter([RuntimeError("CUDA error"), 700])

    def memory_mb(_device: str) -> int:
        if isinstance(answer := next(answers, 700), RuntimeError):
            raise answer
        return answer

    monkeypatch.setattr(heartbeat, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(heartbeat, "device_memory_mb", memory_mb)
    beating = heartbeat.Heartbeat(client, models={"encoder": "m@1"}, device="cuda:0", concurrency=1, load=heartbeat.Load())
    deadline = time.monotonic() + 5
    while not (alive := workers_alive()) and time.monotonic() < deadline:
        time.sleep(0.01)
    beating.close()
    assert [worker.device_memory_mb for worker in alive] == [700]


def test_without_redis_there_are_no_workers(use_redis: Callable[[str], redis.Redis], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_REDIS_URL", "")
    get_settings.cache_clear()
    assert workers_alive() == []


def test_a_redis_that_does_not_answer_is_no_empty_list(use_redis: Callable[[str], redis.Redis]) -> None:
    use_redis("redis://127.0.0.1:1/0")
    with pytest.raises(ModelUnavailable):
        workers_alive()
