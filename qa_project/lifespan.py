"""What happens when the server starts and stops: models are warm before the first request, indexes are saved after the last."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

from apps.accounts.usage import UsageWriter
from apps.dialogue.interrupted import InterruptedTurns
from apps.retrieval.indexes.registry import close_indexes
from apps.retrieval.outbox.checking import checker
from apps.retrieval.outbox.follower import close_followers, follower
from apps.retrieval.outbox.warmup import warm_up
from apps.retrieval.vectors.encoding import encoder
from apps.serving.jobs.news import use_loop
from apps.serving.jobs.runner import runner
from apps.serving.warmup import generator_warmup
from core.backends import close_backends, get_backend
from core.config import get_settings
from core.cores import share_core
from core.errors import QAError
from core.protocols import Reranker

log = logging.getLogger(__name__)

_background: list[UsageWriter | InterruptedTurns] = []


class Lifespan:
    """The ASGI lifespan protocol."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await asyncio.to_thread(start)
                use_loop(asyncio.get_running_loop())
                gather_threads()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(stop)
                await send({"type": "lifespan.shutdown.complete"})
                return


def start() -> None:
    """Loads the models that questions need and the indexes; the generator in the background. A missing one does not stop the server.

    It then answers without, and says so.
    """
    try:
        encoder().encode_query("你好")
    except QAError as error:
        log.error("encoder not loaded error=%s %s", error.code, error.message)
    _load_reranker()
    warm_up()
    follower().watch()
    _background.extend((UsageWriter(), InterruptedTurns()))
    checker().watch()
    runner().start()
    _settle()
    generator_warmup().start()


def gather_threads() -> None:
    """The event loop's thread and those that it starts, which answer people, share a core; what runs in the background already does not."""
    if get_settings().gathers_threads:
        share_core()


def _load_reranker() -> None:
    settings = get_settings()
    try:
        if settings.reranker:
            get_backend(settings.reranker_backend, Reranker).score("你好", ["你好"])  # type: ignore[type-abstract]
    except QAError as error:
        log.error("reranker not loaded error=%s %s", error.code, error.message)


def _settle() -> None:
    """What was loaded stays: the garbage collector need not walk through it at every collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def stop() -> None:
    """Ends the background work and writes what lies in memory."""
    runner().close()
    while _background:
        _background.pop().close()
    checker().close()
    close_followers()
    close_indexes()
    close_backends()
