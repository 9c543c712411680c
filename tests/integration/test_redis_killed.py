"""Do turns end, and can they be resumed, when Redis is killed under them?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from apps.accounts.permissions import ANYBODY
from apps.dialogue import redis_turnlog
from apps.dialogue.models import Bot, Turn, new_id
from apps.dialogue.redis_turnlog import RedisTurnLog
from apps.dialogue.streaming import replay_turn, run_turn
from apps.dialogue.turns import TurnRequest
from core.backends import use_backend
from core.config import get_settings
from core.errors import DeadlineExceeded, Interrupted, NotFound
from core.types import JSONDict
from tests.redis_server import RedisServer, own_redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with own_redis(tmp_path) as started:
        yield started


@pytest.fixture
def log(server: RedisServer) -> Iterator[RedisTurnLog]:
    with closing(RedisTurnLog(server.url, keep_s=60)) as ours:
        yield ours


@pytest.fixture
def other(server: RedisServer) -> Iterator[RedisTurnLog]:
    """The log of another web process."""
    with closing(RedisTurnLog(server.url, keep_s=60)) as theirs:
        yield theirs


def frame(kind: str = "text_delta") -> JSONDict:
    return {"type": kind, "turn": "t", "seq": 0, "text": "年假"}


def seqs(frames: list[JSONDict]) -> list[object]:
    return [each["seq"] for each in frames]


def read_soon(log: RedisTurnLog, turn: str, after: int = 0) -> list[JSONDict]:
    """The turn to its end, once the log knows it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return list(log.read(turn, after, timeout_s=10))
        except NotFound:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_turn_goes_on_without_redis_and_can_be_read_once_it_is_back(server: RedisServer, log: RedisTurnLog, other: RedisTurnLog) -> None:
    turn = new_id()
    log.watch_cancel(turn)
    log.append(turn, frame())
    server.kill()
    began = time.monotonic()
    assert [log.append(turn, frame()) for _ in range(100)] == list(range(2, 102))
    assert log.append(turn, frame("turn_finished")) == 102
    assert time.monotonic() - began < redis_turnlog.TIMEOUT_S
    server.start()
    assert seqs(read_soon(other, turn, after=50)) == list(range(51, 103))


def test_a_redis_that_came_back_empty_gets_the_running_turn_anew(server: RedisServer, log: RedisTurnLog, other: RedisTurnLog) -> None:
    turn = new_id()
    log.watch_cancel(turn)
    for _ in range(3):
        log.append(turn, frame())
    reading = other.read(turn, 0, timeout_s=10)
    assert next(reading)["seq"] == 1
    server.kill()
    server.start()
    log.append(turn, frame())
    log.append(turn, frame("turn_finished"))
    assert seqs(list(reading)) == [2, 3, 4, 5]
    assert seqs(read_soon(other, turn)) == [1, 2, 3, 4, 5]


def test_a_turn_that_says_nothing_meanwhile_is_written_anew_as_well(server: RedisServer, log: RedisTurnLog, other: RedisTurnLog) -> None:
    turn = new_id()
    log.watch_cancel(turn)
    log.append(turn, frame())
    server.kill()
    server.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not other._redis.exists(redis_turnlog._stream(turn)):
        time.sleep(0.05)
    assert next(other.read(turn, 0))["seq"] == 1


def test_a_stop_reaches_a_turn_of_this_process_without_redis(server: RedisServer, log: RedisTurnLog, other: RedisTurnLog) -> None:
    turn = new_id()
    flag = log.watch_cancel(turn)
    log.append(turn, frame())
    server.kill()
    log.cancel(turn)
    assert flag.is_set()
    with pytest.raises(DeadlineExceeded, match="Redis does not answer"):
        other.cancel(turn)
    server.start()


def test_nobody_waits_for_a_process_that_is_gone(monkeypatch: pytest.MonkeyPatch, log: RedisTurnLog, other: RedisTurnLog) -> None:
    monkeypatch.setattr(redis_turnlog, "ALIVE_S", 0.5)
    monkeypatch.setattr(redis_turnlog, "GONE_S", 0.2)
    turn = new_id()
    log.watch_cancel(turn)
    log.append(turn, frame())
    log.close()
    reading = other.read(turn, 0, timeout_s=30)
    assert next(reading)["seq"] == 1
    with pytest.raises(Interrupted):
        next(reading)


@pytest.mark.django_db(transaction=True)
def test_a_question_is_answered_while_redis_is_away(bot: Bot, server: RedisServer, log: RedisTurnLog) -> None:
    use_backend(get_settings().turn_log_path, log)
    server.kill()
    frames = list(run_turn(TurnRequest(bot=bot, caller=ANYBODY, text="年假有几天？")))
    assert seqs(frames) == list(range(1, len(frames) + 1))
    assert frames[-1]["type"] == "turn_finished"
    assert list(replay_turn(Turn.objects.get(), 1)) == frames[1:]
    server.start()
