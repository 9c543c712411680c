"""Which inference workers are alive, and what waits for them: the record that each keeps in Redis, and how any process reads it.

A record lives for `ALIVE_S` after its worker's last heartbeat: Redis forgets the dead, so clocks need not agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import orjson

from core.types import Priority

HEARTBEAT_S = 2.0
ALIVE_S = 8.0
_IDS = "wenlu:workers"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """One model of a worker. `waiting` is texts before it, `mean_batch` texts a forward pass, `p95_ms` from taking a request to
    its reply; these two are of the last busy seconds. `requests`, `batches` and `texts` count since the start; so do, of a generator,
    `tokens` written and `stops`. `stop_p95_ms` is from somebody's stop to the free place, at most; 0 where nothing was stopped.
    """

    role: str
    model_id: str
    waiting: int
    mean_batch: float
    p95_ms: float
    requests: int
    batches: int
    texts: int
    tokens: int = 0
    stops: int = 0
    stop_p95_ms: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRecord:
    """One worker process. `device_memory_mb` is what it holds of a GPU's memory, `running` how many requests it has taken.
    `started_at` and `heartbeat_at` are seconds of the epoch.
    """

    id: str
    host: str
    pid: int
    device: str
    memory_mb: int
    device_memory_mb: int
    concurrency: int
    running: int
    models: tuple[ServedModel, ...]
    started_at: float
    heartbeat_at: float

    @property
    def roles(self) -> tuple[str, ...]:
        """What it serves."""
        return tuple(model.role for model in self.models)

    def model(self, role: str) -> ServedModel:
        """Its model of this role. Raises KeyError where it serves none."""
        return {model.role: model for model in self.models}[role]


class RedisClient(Protocol):
    """The part of a `redis.Redis` that answers in bytes which the registry needs."""

    def pipeline(self, transaction: bool = ...) -> Any: ...
    def smembers(self, name: str) -> Any: ...
    def mget(self, keys: list[str]) -> Any: ...
    def srem(self, name: str, *values: str) -> Any: ...


def write_worker(client: RedisClient, record: WorkerRecord) -> None:
    """Says that the worker is alive."""
    pipe = client.pipeline(transaction=False)
    pipe.sadd(_IDS, record.id)
    pipe.set(_key(record.id), orjson.dumps(asdict(record)), px=int(ALIVE_S * 1000))
    pipe.execute()


def remove_worker(client: RedisClient, worker_id: str) -> None:
    """Says that the worker has ended."""
    pipe = client.pipeline(transaction=False)
    pipe.delete(_key(worker_id))
    pipe.srem(_IDS, worker_id)
    pipe.execute()


def read_workers(client: RedisClient) -> list[WorkerRecord]:
    """The workers alive, oldest first. Raises redis.RedisError where Redis does not answer."""
    ids = sorted(member.decode() for member in client.smembers(_IDS))
    if not ids:
        return []
    rows = client.mget([_key(worker_id) for worker_id in ids])
    dead = [worker_id for worker_id, row in zip(ids, rows, strict=True) if row is None]
    if dead:
        client.srem(_IDS, *dead)
    return sorted((_record(row) for row in rows if row is not None), key=lambda record: (record.started_at, record.id))


def queue_name(role: str, priority: Priority) -> str:
    """The queue of the broker, which Redis keeps as a list of this name."""
    return f"{role}.{priority.name.lower()}"


def read_queues(client: RedisClient, roles: Iterable[str]) -> dict[str, int]:
    """How many messages no worker has taken yet, by queue. Raises redis.RedisError where Redis does not answer."""
    names = [queue_name(role, priority) for priority in Priority for role in roles]
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.llen(name)
    return dict(zip(names, pipe.execute(), strict=True))


def _record(row: bytes) -> WorkerRecord:
    """The record. What a worker of a later version says beyond this one's fields is left out: versions meet while one is rolled out."""
    said = orjson.loads(row)
    models = tuple(ServedModel(**_known(ServedModel, model)) for model in said["models"])
    return WorkerRecord(**{**_known(WorkerRecord, said), "models": models})


def _known(kind: type[WorkerRecord | ServedModel], said: dict[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in said.items() if name in names}


def _key(worker_id: str) -> str:
    return f"wenlu:worker:{worker_id}"
