"""Only so many threads work at a time, and places go to them in the order in which they came."""

from __future__ import annotations

import threading
import time

import pytest

from core.gate import Gate


def wait_for(seen: list[int], count: int) -> None:
    until = time.monotonic() + 5
    while len(seen) < count and time.monotonic() < until:
        time.sleep(0.001)


def test_places_go_to_who_has_waited_longest() -> None:
    gate, waiting, order = Gate(1, lease_s=5), list[int](), list[int]()

    def come(number: int) -> None:
        waiting.append(number)
        with gate.held():
            order.append(number)

    with gate.held():
        threads = [threading.Thread(target=come, args=(number,)) for number in range(5)]
        for number, thread in enumerate(threads, 1):
            thread.start()
            wait_for(waiting, number)
            while len(gate._waiting) < number:
                time.sleep(0.001)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_as_many_as_there_are_places_work_at_a_time_and_places_come_back() -> None:
    gate, inside, most = Gate(2, lease_s=5), set[int](), list[int]()

    def work(number: int) -> None:
        for _ in range(50):
            with gate.held():
                inside.add(number)
                most.append(len(inside))
                inside.discard(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 300
    assert max(most) <= 2
    assert not gate._inside


def test_who_works_longer_than_a_place_is_lent_for_loses_it_to_the_next_and_gives_nothing_back() -> None:
    gate, order = Gate(1, lease_s=0.01), list[str]()

    def come() -> None:
        with gate.held():
            order.append("next")

    with gate.held():
        thread = threading.Thread(target=come)
        thread.start()
        thread.join(10)
        order.append("slow")
    assert order == ["next", "slow"]
    assert not gate._inside


def test_a_thread_that_is_inside_needs_no_second_place() -> None:
    gate = Gate(1, lease_s=60)
    with gate.held():
        with gate.held():
            assert len(gate._inside) == 1
        assert len(gate._inside) == 1
    assert not gate._inside


def test_who_waits_for_something_else_makes_room_and_queues_again_afterwards() -> None:
    gate, order = Gate(1, lease_s=60), list[str]()

    def come() -> None:
        with gate.held():
            order.append("other")

    with gate.held():
        thread = threading.Thread(target=come)
        thread.start()
        with gate.outside():
            thread.join(10)
        order.append("back")
        assert len(gate._inside) == 1
    assert order == ["other", "back"]


def test_outside_is_nothing_to_a_thread_without_a_place() -> None:
    gate = Gate(1, lease_s=60)
    with gate.outside():
        assert not gate._inside
    assert not gate._inside


def test_a_failure_inside_gives_the_place_back() -> None:
    gate = Gate(1, lease_s=5)
    with pytest.raises(ValueError, match="inside"), gate.held():
        raise ValueError("inside")
    assert not gate._inside
