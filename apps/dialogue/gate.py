"""How many questions are matched at a time: few, since matching is mostly Python and the interpreter admits one thread anyway.

A batch of the encoder wakes all its askers at once. Where they all go on together, each index, query and array call hands
the interpreter to another of them: 200 thread switches a question and 100 answers a second to 32 callers; with one at a
time 60 switches and 120 to 150 answers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from core.config import get_settings

PATIENCE_S = 0.25


@contextmanager
def gate() -> Iterator[None]:
    """Held while a question is matched. Whoever has waited `PATIENCE_S` goes in all the same: one slow index must not stop everyone."""
    permits = _permits()
    admitted = permits.acquire(timeout=PATIENCE_S)
    try:
        yield
    finally:
        if admitted:
            permits.release()


@cache
def _permits() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(get_settings().match_threads or max(1, (os.cpu_count() or 2) - 1))
