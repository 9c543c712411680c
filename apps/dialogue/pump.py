"""How does what a thread makes reach whoever listens? The pump between synchronous turns and sockets."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import BoundedSemaphore, Event
from typing import TypeVar

from django.db import close_old_connections

from core.config import get_settings
from core.errors import Overloaded, QAError
from core.types import JSONDict

log = logging.getLogger(__name__)

T = TypeVar("T")
_END = object()


@cache
def _threads() -> tuple[ThreadPoolExecutor, BoundedSemaphore]:
    count = get_settings().http_threads
    return ThreadPoolExecutor(count, thread_name_prefix="turn"), BoundedSemaphore(4 * count)


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Runs a function that may query the database in one of the turn threads."""
    context = contextvars.copy_context()

    def run() -> T:
        try:
            return context.run(function, *args)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads()[0], run)


def finish_in_thread(events: Iterator[object]) -> None:
    """Lets what was begun, and has no listener any more, come to its own end in one of the turn threads."""

    def run() -> None:
        try:
            deque(events, maxlen=0)
        except QAError as error:
            log.info("unheard error=%s", error.code)
        finally:
            close_old_connections()

    _threads()[0].submit(contextvars.copy_context().run, run)


async def iterate_in_thread(make: Callable[[], Iterator[JSONDict]], *, to_the_end: bool) -> AsyncIterator[JSONDict]:
    """Iterates `make()` in a thread. When the listener leaves, the iteration stops, or goes on unheard `to_the_end`.

    Raises Overloaded at once where too many iterations wait already.
    """
    threads, permits = _threads()
    if not permits.acquire(blocking=False):
        raise Overloaded("Too many answers are under way; try again in a moment.", retry_after_s=1)
    loop, frames, left = asyncio.get_running_loop(), asyncio.Queue(), Event()  # type: ignore[var-annotated]
    context = contextvars.copy_context()

    def pump() -> None:
        try:
            for frame in make():
                if not left.is_set():
                    loop.call_soon_threadsafe(frames.put_nowait, frame)
                elif not to_the_end:
                    break
            end: object = _END
        except QAError as error:
            end = error
        except Exception:  # the listener must hear of it, whatever it is
            log.exception("pump broke")
            end = QAError("Something went wrong on our side; it has been logged.")
        finally:
            permits.release()
            close_old_connections()
        if not left.is_set() and not loop.is_closed():
            loop.call_soon_threadsafe(frames.put_nowait, end)

    threads.submit(context.run, pump)
    try:
        while True:
            frame = await frames.get()
            if frame is _END:
                return
            if isinstance(frame, QAError):
                raise frame
            yield frame
    finally:
        left.set()
