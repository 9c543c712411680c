"""Which way should replies take through Redis? One Celery task that replies at once, over each way that could be taken.

`python -m bench.remote` starts `celery -A bench.reply_paths worker` on a database of its own and measures from outside.
"""

from __future__ import annotations

import os
import threading
import uuid
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Any

import orjson
import redis
from celery import Celery

URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/15")
REPLY = "A" * 24_576  # twelve token vectors of 384 numbers, in base64
TIMEOUT_S = 30.0

app = Celery("reply_paths", broker=URL, backend=URL, set_as_current=False)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    result_expires=60,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"priority_steps": [0]},
)
client = redis.Redis.from_url(URL)


@app.task(name="bench.result")
def reply_by_result(id: str) -> dict[str, str]:
    """Celery's own result backend."""
    return {"id": id, "reply": REPLY}


@app.task(name="bench.reply", ignore_result=True)
def reply_by(path: str, address: str, id: str) -> None:
    """Every other way."""
    payload = orjson.dumps({"id": id, "reply": REPLY})
    if path == "pubsub":
        client.publish(address, payload)
    elif path == "stream":
        client.xadd(address, {"reply": payload}, maxlen=1000)
    else:
        client.rpush(address, payload)


class ReplyPath(ABC):
    """The web process's side: one reader thread on one connection, futures matched by id."""

    name: str

    def __init__(self) -> None:
        self.address = f"bench:{self.name}:{uuid.uuid4().hex}"
        self._futures: dict[str, Future[Any]] = {}
        self._closed = threading.Event()
        self._redis = redis.Redis.from_url(URL)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self._ready.wait(5)

    def ask(self) -> None:
        """One round trip."""
        id, future = uuid.uuid4().hex, Future[Any]()
        self._futures[id] = future
        app.send_task("bench.reply", (self.name, self.address, id), ignore_result=True)
        future.result(TIMEOUT_S)

    def close(self) -> None:
        """Ends the reader and removes what lies in Redis."""
        self._closed.set()
        self._thread.join()
        self._redis.delete(self.address)
        self._redis.close()

    def _answer(self, payload: bytes) -> None:
        row = orjson.loads(payload)
        self._futures.pop(row["id"]).set_result(row)

    def _read(self) -> None:
        while not self._closed.is_set():
            self._read_some()

    @abstractmethod
    def _read_some(self) -> None:
        """Waits for replies, a second at most."""


class PubSub(ReplyPath):
    name = "pubsub"

    def _read(self) -> None:
        self._channel = self._redis.pubsub(ignore_subscribe_messages=True)
        self._channel.subscribe(self.address)
        self._channel.get_message(timeout=1)
        self._ready.set()
        super()._read()

    def _read_some(self) -> None:
        message = self._channel.get_message(timeout=1)
        if message is not None:
            self._answer(message["data"])


class Stream(ReplyPath):
    name = "stream"
    _after = b"0"

    def _read_some(self) -> None:
        self._ready.set()
        for _, entries in self._redis.xread({self.address: self._after}, block=1000) or ():
            for self._after, fields in entries:
                self._answer(fields[b"reply"])


class List(ReplyPath):
    name = "list"

    def _read_some(self) -> None:
        self._ready.set()
        found = self._redis.blpop([self.address], timeout=1)
        if found is not None:
            self._answer(found[1])


class CeleryResult:
    """Celery's result backend: no reader of ours, each caller waits on its own result."""

    name = "celery result"

    def ask(self) -> None:
        """One round trip."""
        app.send_task("bench.result", (uuid.uuid4().hex,)).get(TIMEOUT_S)

    def close(self) -> None:
        """Nothing of its own to end."""


PATHS: tuple[type[ReplyPath] | type[CeleryResult], ...] = (CeleryResult, PubSub, Stream, List)
