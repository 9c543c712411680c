"""What every turn log must do: number events, replay them to whoever comes late, wait for the rest, and carry a stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.dialogue.models import new_id
from apps.dialogue.redis_turnlog import RedisTurnLog
from apps.dialogue.turnlog import MemoryTurnLog
from core.errors import DeadlineExceeded, NotFound
from core.protocols import TurnLog
from core.types import JSONDict

TEXT = "年假为十天。😀"


@pytest.fixture(params=["memory", "redis"])
def log(request: pytest.FixtureRequest) -> Iterator[TurnLog]:
    if request.param == "memory":
        yield MemoryTurnLog(keep_s=60)
        return
    redis_log = RedisTurnLog(url=redis_url(), keep_s=60)
    yield redis_log
    redis_log.close()


@pytest.fixture
def turn() -> str:
    return new_id()


def redis_url() -> str:
    """The Redis that tests may use, else a skip that says how to give one."""
    url = os.environ.get("WENLU_TEST_REDIS_URL")
    if not url:
        pytest.skip("needs Redis: set WENLU_TEST_REDIS_URL=redis://host:port/db")
    return url


def delta(number: int) -> JSONDict:
    return {"type": "text_delta", "turn": "t", "seq": 0, "text": f"{TEXT}{number}"}


def end() -> JSONDict:
    return {"type": "turn_finished", "turn": "t", "seq": 0}


def write(log: TurnLog, turn: str, *, deltas: int, pause_s: float = 0.0) -> None:
    """A whole turn of so many deltas."""
    for number in range(deltas):
        log.append(turn, delta(number))
        time.sleep(pause_s)
    log.append(turn, end())


def seqs(frames: list[JSONDict]) -> list[object]:
    return [frame["seq"] for frame in frames]


def test_it_does_what_the_protocol_asks(log: TurnLog) -> None:
    assert isinstance(log, TurnLog)


def test_events_are_numbered_from_one_and_the_frame_says_its_number(log: TurnLog, turn: str) -> None:
    frames = [delta(0), delta(1), end()]
    assert [log.append(turn, frame) for frame in frames] == [1, 2, 3]
    assert seqs(frames) == [1, 2, 3]


def test_frames_come_back_as_they_were_written(log: TurnLog, turn: str) -> None:
    write(log, turn, deltas=2)
    assert list(log.read(turn, 0)) == [{**delta(0), "seq": 1}, {**delta(1), "seq": 2}, {**end(), "seq": 3}]


@pytest.mark.parametrize("after", [0, 1, 6, 10])
def test_a_late_reader_gets_what_follows_the_number_it_has_seen(log: TurnLog, turn: str, after: int) -> None:
    write(log, turn, deltas=10)
    assert seqs(list(log.read(turn, after))) == list(range(after + 1, 12))


def test_a_long_turn_is_replayed_whole(log: TurnLog, turn: str) -> None:
    write(log, turn, deltas=1200)
    assert seqs(list(log.read(turn, 0))) == list(range(1, 1202))


def test_a_reader_of_a_running_turn_waits_for_its_end(log: TurnLog, turn: str) -> None:
    log.append(turn, delta(0))
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(lambda: list(log.read(turn, 0, timeout_s=10)))
        write(log, turn, deltas=20, pause_s=0.002)
        assert seqs(reading.result(10)) == list(range(1, 23))


def test_many_readers_see_the_same(log: TurnLog, turn: str) -> None:
    log.append(turn, delta(0))
    with ThreadPoolExecutor(8) as threads:
        readings = [threads.submit(lambda: list(log.read(turn, 0, timeout_s=10))) for _ in range(8)]
        write(log, turn, deltas=20, pause_s=0.001)
        assert {str(reading.result(10)) for reading in readings} == {str(list(log.read(turn, 0)))}


def test_turns_are_numbered_apart(log: TurnLog, turn: str) -> None:
    other = new_id()
    assert [log.append(turn, delta(0)), log.append(other, delta(0)), log.append(turn, delta(1))] == [1, 1, 2]


@pytest.mark.parametrize("kind", ["turn_finished", "turn_failed"])
def test_either_end_ends_the_reading(log: TurnLog, turn: str, kind: str) -> None:
    log.append(turn, {"type": kind, "turn": turn, "seq": 0})
    assert [frame["type"] for frame in log.read(turn, 0)] == [kind]


def test_an_unknown_turn_is_not_found(log: TurnLog, turn: str) -> None:
    with pytest.raises(NotFound):
        log.read(turn, 0)
    with pytest.raises(NotFound):
        log.cancel(turn)


def test_a_reader_does_not_wait_forever_for_a_turn_that_went_silent(log: TurnLog, turn: str) -> None:
    log.append(turn, delta(0))
    frames = log.read(turn, 0, timeout_s=0.1)
    assert next(frames)["seq"] == 1
    with pytest.raises(DeadlineExceeded):
        next(frames)


def test_a_stop_sets_the_flag_of_its_turn_alone(log: TurnLog, turn: str) -> None:
    other = new_id()
    flags = {name: log.watch_cancel(name) for name in (turn, other)}
    for name in flags:
        log.append(name, delta(0))
    stop_until_heard(log, turn, flags[turn])
    assert flags[turn].is_set()
    assert not flags[other].is_set()


def stop_until_heard(log: TurnLog, turn: str, flag: threading.Event) -> None:
    """Stops the turn as a person would: again, where the first press came before the listener had begun."""
    for _ in range(20):
        log.cancel(turn)
        if flag.wait(0.1):
            return


def test_another_process_reads_and_stops_a_turn_over_redis(turn: str) -> None:
    ours, theirs = RedisTurnLog(url=redis_url(), keep_s=60), RedisTurnLog(url=redis_url(), keep_s=60)
    flag = ours.watch_cancel(turn)
    ours.append(turn, delta(0))
    stop_until_heard(theirs, turn, flag)
    ours.append(turn, end())
    assert flag.is_set()
    assert seqs(list(theirs.read(turn, 0))) == [1, 2]
    ours.close()
    theirs.close()


def test_redis_forgets_a_turn_when_its_time_is_over(turn: str) -> None:
    short = RedisTurnLog(url=redis_url(), keep_s=0.05)
    write(short, turn, deltas=1)
    time.sleep(0.1)
    with pytest.raises(NotFound):
        short.read(turn, 0)
    short.close()


def test_memory_forgets_the_oldest_turn_first() -> None:
    log = MemoryTurnLog(keep_s=60, max_turns=2)
    for name in ("first", "second", "third"):
        write(log, name, deltas=1)
    with pytest.raises(NotFound):
        log.read("first", 0)
    assert seqs(list(log.read("second", 0))) == [1, 2]


def test_memory_forgets_a_turn_when_its_time_is_over() -> None:
    log = MemoryTurnLog(keep_s=0.01)
    write(log, "old", deltas=1)
    time.sleep(0.02)
    log.append("new", delta(0))
    with pytest.raises(NotFound):
        log.read("old", 0)
