"""On which cores do threads run? In a server with a model in it, all that is Python on one, and the model on the others.

One interpreter computes one thread at a time. Where the next one sleeps on another core, waking that core takes longer than
many a step of Python, and the caches there are cold; and a thread that holds the interpreter while a model has its core holds
up all others. With the threads that answer people on one core, a machine of two gave 131 instead of 94 answers a second to 32
callers, and used 10.7 instead of 13.2 ms of CPU for each (docs/adr/0031-interpreter-on-one-core.md).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_model_threads: set[int] = set()
_shared: frozenset[int] = frozenset()


def _own_cores() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0)) if sys.platform == "linux" else frozenset()


_all = _own_cores()


def usable_cores() -> int:
    """How many cores this process may use; also where the calling thread is kept to one of them."""
    return len(_all) or os.cpu_count() or 1


def share_core() -> bool:
    """Keeps the calling thread, and those that it starts from now on, to one core, and the threads of models to the others.

    False where nothing can be kept apart: on one core, and elsewhere than on Linux.
    """
    global _shared
    if len(_all) < 2:
        return False
    with _lock:
        if not _shared:
            _shared = frozenset((sorted(_all)[os.getpid() % len(_all)],))
        _keep(0, _shared)
        for thread in _model_threads:
            _keep(thread, _all - _shared)
    return True


@contextmanager
def running_models() -> Iterator[None]:
    """While the calling thread runs a model: it stays off the shared core."""
    thread = threading.get_native_id()
    with _lock:
        _model_threads.add(thread)
        if _shared:
            _keep(thread, _all - _shared)
    try:
        yield
    finally:
        with _lock:
            _model_threads.discard(thread)


@contextmanager
def anywhere() -> Iterator[None]:
    """While the calling thread does something long, or starts a process: it, and what it starts, may run on every core."""
    before = _own_cores()
    if before != _all:
        _keep(0, _all)
    try:
        yield
    finally:
        if before != _all:
            _keep(0, before)


def _keep(thread: int, cores: frozenset[int]) -> None:
    """A thread that has ended in the meantime, or a machine that lost a core, is no failure."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setaffinity(thread, cores)
