"""How many requests may wait for models at once? Half of the threads that answer requests: the other half stays free for what is quick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore, Event

from django.http import HttpRequest

from core.config import get_settings
from core.errors import Overloaded


@contextmanager
def model_place() -> Iterator[None]:
    """A place to wait for a model in a request's thread. Raises Overloaded where all are taken."""
    taken = places()
    if not taken.acquire(blocking=False):
        raise Overloaded("Too many requests of this process wait for models; try again in a moment.", retry_after_s=1)
    try:
        yield
    finally:
        taken.release()


@cache
def places() -> BoundedSemaphore:
    """All of them."""
    return BoundedSemaphore(max(1, get_settings().http_threads // 2))


def departure_of(request: HttpRequest) -> Event:
    """Is set when the client leaves before it has its answer, where the server can tell."""
    watch = getattr(request, "watch_departure", Event)
    left: Event = watch()
    return left
