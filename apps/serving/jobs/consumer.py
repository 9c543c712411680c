"""What a socket tells of jobs: those that wait, run or have just ended, again whenever one of them comes further."""

from __future__ import annotations

import asyncio

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from apps.accounts.callers import caller_named
from apps.accounts.permissions import Caller
from apps.accounts.sockets import CLOSE_REFUSED, caller_of_socket, check_origin
from apps.serving.jobs.news import GROUP
from apps.serving.jobs.progress import as_dict, jobs_ahead
from apps.serving.jobs.selectors import require_jobs, watched_jobs
from core.errors import QAError
from core.types import JSONDict

LOOK_S = 5.0
AT_MOST_EVERY_S = 0.5


class JobsConsumer(AsyncWebsocketConsumer):
    """One reader's socket. Every frame is read with the rights that the reader has at that moment; nothing is taken in.

    News come over the channel layer; what another process did without one is seen at the next look, every `LOOK_S`.
    """

    async def connect(self) -> None:
        """Accepts whoever may read a knowledge base; anybody else gets the reason as an error frame, then the close."""
        self._changed = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        await self.accept()
        try:
            check_origin(self.scope)
            caller: Caller = await database_sync_to_async(caller_of_socket)(self.scope)
            require_jobs(caller)
        except QAError as error:
            await self._refuse(error)
            return
        if self.channel_layer is not None:
            await self.channel_layer.group_add(GROUP, self.channel_name)
        self._telling = asyncio.create_task(self._tell(caller.name))

    async def disconnect(self, code: int) -> None:
        """Ends the telling."""
        if self._telling is not None:
            self._telling.cancel()
        if self.channel_layer is not None:
            await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing can be said here: jobs are queued and cancelled over HTTP."""

    async def job_changed(self, message: JSONDict) -> None:
        """A job came further somewhere."""
        self._changed.set()

    async def _tell(self, name: str) -> None:
        told: list[JSONDict] | None = None
        try:
            while True:
                self._changed.clear()
                jobs = await database_sync_to_async(_read)(name)
                if jobs != told:
                    await self.send(text_data=orjson.dumps({"type": "jobs", "jobs": jobs}).decode())
                    told = jobs
                await asyncio.sleep(AT_MOST_EVERY_S)
                await self._news()
        except QAError as error:
            await self._refuse(error)

    async def _news(self) -> None:
        """Returns when something changed, or after `LOOK_S`."""
        try:
            await asyncio.wait_for(self._changed.wait(), LOOK_S)
        except TimeoutError:
            return

    async def _refuse(self, error: QAError) -> None:
        await self.send(text_data=orjson.dumps({"type": "error", "error": error.as_dict()}).decode())
        await self.close(CLOSE_REFUSED)


def _read(name: str) -> list[JSONDict]:
    """The jobs as this caller may see them now. Raises Forbidden where the caller may no longer see any."""
    caller = caller_named(name)
    require_jobs(caller)
    jobs = watched_jobs(caller)
    ahead = jobs_ahead(jobs)
    return [{**as_dict(job, ahead=ahead.get(job.pk, 0)), "kb": job.kb.slug if job.kb else None} for job in jobs]
