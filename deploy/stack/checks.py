"""Does it answer? The checks that `make stack` waits for, and that containers run as their health checks.

`python -m deploy.stack.checks web|worker` ends with status 0 where the web process, or a worker, of this host is well.
"""

from __future__ import annotations

import http.client
import socket
import sys

import redis

from core.config import get_settings
from core.worker_registry import read_workers

TIMEOUT_S = 2.0


def http_ok(port: int, path: str) -> bool:
    """Whether `GET path` on this host gives 200 within two seconds. No proxy of the environment comes between."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def redis_ok(url: str) -> bool:
    """Whether Redis answers."""
    try:
        with _client(url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def worker_ok(url: str, pid: int | None = None) -> bool:
    """Whether a worker of this host (the one with process id `pid`, where it is given) has lately said in Redis that it is alive."""
    try:
        with _client(url) as client:
            return any(worker.host == socket.gethostname() and pid in (None, worker.pid) for worker in read_workers(client))
    except redis.RedisError:
        return False


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S)


def main(what: str) -> bool:
    """Whether what this container runs is well."""
    qa = get_settings()
    return {"web": lambda: http_ok(qa.port, "/readyz"), "worker": lambda: worker_ok(qa.redis_url)}[what]()


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1]) else 1)
