"""How messages reach this process: one thread, one Redis connection and one channel, whatever number of requests waits.

Pub/sub loses what is said while nobody listens, so whoever waits is told of every reconnect and asks again. The ADR on
replies over Redis compares it with streams, lists and Celery's result backend.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

RECONNECT_S = 0.2
HEALTH_CHECK_S = 10.0
MAX_PINGS_UNANSWERED = 2


class ChannelReader:
    """Calls `on_message(payload)` for each message on `channel`, `on_reconnect()` each time that it listens again.

    Both run in the reader's thread and must be quick. An empty message is not passed on.
    """

    def __init__(
        self, url: str, channel: str, *, on_message: Callable[[bytes], None], on_reconnect: Callable[[], None] = lambda: None
    ) -> None:
        self.channel = channel
        self._on_message = on_message
        self._on_reconnect = on_reconnect
        self._redis = redis.Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=2, socket_keepalive=True, health_check_interval=HEALTH_CHECK_S
        )
        self._listening = threading.Event()
        self._closed = threading.Event()
        self._listened_before = False
        self._thread = threading.Thread(target=self._read, name=f"reader-{channel}", daemon=True)
        self._thread.start()

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Whether messages can arrive."""
        return self._listening.wait(timeout_s)

    def close(self) -> None:
        """Ends the thread and its connection; the empty message wakes it."""
        self._closed.set()
        with suppress(redis.RedisError):  # it is reconnecting then, and sees the flag before it tries again
            self._redis.publish(self.channel, b"")
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=3)
        self._redis.close()

    def _read(self) -> None:
        while not self._closed.is_set():
            try:
                self._read_until_lost()
            except (redis.RedisError, OSError) as error:
                log.warning("channel lost channel=%s error=%r", self.channel, error)
            except Exception:  # a reader that died would hear nothing ever after
                log.exception("reader broke; it begins anew channel=%s", self.channel)
            self._listening.clear()
            self._closed.wait(RECONNECT_S)

    def _read_until_lost(self) -> None:
        with self._redis.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(self.channel)
            while not self._closed.is_set():
                message = channel.get_message(timeout=HEALTH_CHECK_S)
                if message is None:
                    if channel.health_check_response_counter > MAX_PINGS_UNANSWERED:
                        raise redis.ConnectionError("Redis answers no pings")
                elif message["type"] == "subscribe":
                    self._begin()
                elif message["type"] == "message" and message["data"]:
                    self._deliver(message["data"])

    def _deliver(self, payload: bytes) -> None:
        """A message of another release, as there is while servers are renewed, must not end the thread that hears the next one."""
        try:
            self._on_message(payload)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("message not understood channel=%s error=%r", self.channel, error)

    def _begin(self) -> None:
        self._listening.set()
        if self._listened_before:
            self._on_reconnect()
        self._listened_before = True
