"""Threads that answer people share a core, models have the others; what is long, or a process of its own, runs anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from core import cores

MINE = frozenset(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is shared yet, and nothing after the test."""
    monkeypatch.setattr(cores, "_shared", frozenset())
    monkeypatch.setattr(cores, "_model_threads", set())
    yield
    os.sched_setaffinity(0, MINE)


def in_thread(work: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def here() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0))


def test_the_thread_that_shares_and_those_that_it_starts_have_one_core() -> None:
    def work() -> tuple[bool, object, object]:
        return cores.share_core(), here(), in_thread(here)

    shared, own, started = in_thread(work)  # type: ignore[misc]
    assert shared == (len(MINE) > 1)
    assert own == started
    assert len(own) == 1
    assert here() == MINE


def test_a_model_that_ran_before_and_one_that_comes_later_keep_off_the_shared_core() -> None:
    running, asked, found = threading.Event(), threading.Event(), list[frozenset[int]]()

    def early() -> None:
        with cores.running_models():
            running.set()
            asked.wait(10)
            found.append(here())

    def later() -> frozenset[int]:
        with cores.running_models():
            return here()

    thread = threading.Thread(target=early)
    thread.start()
    running.wait(10)
    (shared,) = in_thread(lambda: (cores.share_core(), here())[1])  # type: ignore[misc]
    asked.set()
    thread.join()
    others = MINE - {shared} or MINE
    assert found == [others]
    assert in_thread(later) == others


def test_what_is_long_runs_anywhere_and_so_does_the_process_that_it_starts() -> None:
    def work() -> tuple[frozenset[int], str, bool]:
        cores.share_core()
        own = here()
        with cores.anywhere():
            inside = here()
            child = subprocess.run(
                [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"], capture_output=True, text=True, check=True
            )
        return inside, child.stdout.strip(), here() == own

    assert in_thread(work) == (MINE, str(len(MINE)), True)


def test_a_thread_on_the_shared_core_still_counts_all_cores() -> None:
    assert in_thread(lambda: (cores.share_core(), cores.usable_cores())[1]) == len(MINE)


def test_one_core_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_all", frozenset({min(MINE)}))
    assert in_thread(cores.share_core) is False
    assert here() == MINE
