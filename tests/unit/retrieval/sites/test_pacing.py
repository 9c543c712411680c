"""How long one waits between two requests to a site."""

from __future__ import annotations

from threading import Event

import pytest

from apps.retrieval.sites.pacing import Pace
from core.errors import Cancelled


class Clock(Event):
    """Time that passes by waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        self.now += timeout or 0.0
        return self.is_set()


def test_a_site_is_asked_once_a_delay_and_another_at_once() -> None:
    clock = Clock()
    pace = Pace(clock)
    for site in ("a", "a", "b", "a"):
        pace.wait(site, 2.0, clock)
    assert clock.waited == [0.0, 2.0, 0.0, 2.0]


def test_a_site_that_asks_for_a_pause_gets_it() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.hold("a", 30.0)
    pace.wait("a", 1.0, clock)
    pace.wait("b", 1.0, clock)
    assert clock.waited == [30.0, 0.0]


def test_who_is_stopped_does_not_wait_on() -> None:
    clock = Clock()
    clock.set()
    with pytest.raises(Cancelled):
        Pace(clock).wait("a", 1.0, clock)
