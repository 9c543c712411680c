"""Only so many threads work at a time, and places go to them in the order in which they came."""

from __future__ import annotations

import threading
import time

from core.gate import Gate


def wait_for(seen: list[int], count: int) -> None:
    until = time.monotonic() + 5
    while len(seen) < count and time.monotonic() < until:
        time.sleep(0.001)


def test_places_go_to_who_has_waited_longest() -> None:
    gate, waiting, order = Gate(1, patience_s=5), list[int](), list[int]()

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
    gate, inside, most = Gate(2, patience_s=5), set[int](), list[int]()

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
    assert gate._free == 2


def test_who_has_waited_too_long_goes_in_and_gives_no_place_back() -> None:
    gate = Gate(1, patience_s=0.01)
    with gate.held():
        with gate.held():
            assert gate._free == 0
        assert gate._free == 0
    assert gate._free == 1


def test_a_failure_inside_gives_the_place_back() -> None:
    gate = Gate(1, patience_s=5)
    try:
        with gate.held():
            raise ValueError("inside")
    except ValueError:
        assert gate._free == 1
