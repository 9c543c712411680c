"""Who is told that a job was queued or came further? The runner of this process, and whoever looks at the panel's page of jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer

from apps.serving.models import Job

log = logging.getLogger(__name__)

GROUP = "jobs"

_runners: list[Callable[[], None]] = []
_loops: list[asyncio.AbstractEventLoop] = []


def on_queued(wake: Callable[[], None]) -> None:
    """`wake` is called whenever something was queued or cancelled in this process."""
    _runners.append(wake)


def forget_queued(wake: Callable[[], None]) -> None:
    """`wake` is called no more."""
    if wake in _runners:
        _runners.remove(wake)


def wake_runner() -> None:
    """There is something to do."""
    for wake in list(_runners):
        wake()


def use_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """The event loop in which news go out: the server's. None: there is none any more."""
    _loops[:] = [loop] if loop is not None else []


def tell_change(job: Job) -> None:
    """Tells the open pages that a job changed. It says which one, not what of it: every reader looks with the rights it has."""
    layer = get_channel_layer()
    if not _loops or layer is None or _loops[0].is_closed():
        return
    asyncio.run_coroutine_threadsafe(_send(layer, {"type": "job.changed", "job": job.pk, "kb": job.kb_id}), _loops[0])


async def _send(layer: object, message: dict[str, object]) -> None:
    try:
        await layer.group_send(GROUP, message)  # type: ignore[attr-defined]
    except (ChannelFull, OSError) as error:  # pages look for themselves now and then
        log.debug("news not sent error=%s", type(error).__name__)
