"""How soon does a worker find its broker again?"""

from __future__ import annotations

import pytest
from kombu import Connection

from core.config import Settings
from workers.broker import make_app
from workers.consumer import PatientConsumer


class Found(Exception):
    """Ends the test."""


def test_a_broker_that_is_away_for_long_is_looked_for_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, tries = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def connect() -> None:
        tries.append(now[0])
        raise Found if now[0] > 60 else ConnectionError("nobody listens")

    monkeypatch.setattr("kombu.utils.functional.sleep", sleep)
    connection = Connection("redis://127.0.0.1:1/0")
    connection._connection_factory = connect
    consumer = object.__new__(PatientConsumer)
    consumer.app, consumer.first_connection_attempt, consumer.broker_connection_retry_attempt = make_app(Settings()), True, 0
    monkeypatch.setattr(PatientConsumer, "maybe_shutdown", lambda self: None, raising=False)
    with pytest.raises(Found):
        consumer.ensure_connected(connection)
    assert max(later - earlier for earlier, later in zip(tries, tries[1:], strict=False)) <= 2


def test_workers_use_it() -> None:
    assert make_app(Settings()).conf.worker_consumer == f"{PatientConsumer.__module__}:{PatientConsumer.__name__}"
