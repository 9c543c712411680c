"""Which inference workers serve this installation? Read from the heartbeats that they leave in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import redis

from core.config import get_settings
from core.errors import ModelUnavailable
from core.worker_registry import WorkerRecord, read_queues, read_workers

TIMEOUT_S = 2.0


def workers_alive() -> list[WorkerRecord]:
    """The workers that were heard of in the last seconds, oldest first; none where QA_REDIS_URL is empty.

    Raises ModelUnavailable where Redis does not answer.
    """
    url = get_settings().redis_url
    if not url:
        return []
    try:
        return read_workers(_client(url))
    except redis.RedisError as error:
        raise ModelUnavailable("Redis does not answer, so no inference worker can be reached.") from error


def messages_waiting(workers: Sequence[WorkerRecord]) -> dict[str, int]:
    """How many messages wait in Redis for these workers, by queue. Raises ModelUnavailable where Redis does not answer."""
    try:
        return read_queues(_client(get_settings().redis_url), sorted({role for worker in workers for role in worker.roles}))
    except redis.RedisError as error:
        raise ModelUnavailable("Redis does not answer, so nobody knows what waits there.") from error


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
