"""How HTTP requests run: each whole request, middleware and view, synchronously in one pooled thread.

Django's own ASGI handler hops between event loop and thread for every middleware, and starts a thread (and a database
connection) per request. One hop into a pool that keeps its connections costs a fraction; docs/adr/0002 has the numbers.
"""

from __future__ import annotations

import asyncio
import contextvars
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import close_old_connections
from django.http import HttpResponseBase, JsonResponse
from django.urls import set_script_prefix

from core.config import get_settings
from core.errors import PayloadTooLarge
from qa_project.errors import error_body

SPOOL_BYTES = 2**20


class Departure:
    """When does the client of a request leave? Listens once somebody asks: most requests are over too soon to matter."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._left = threading.Event()
        self._listening: asyncio.Task[None] | None = None

    def watch(self) -> threading.Event:
        """Is set when the client leaves; to be called by the request's thread."""
        self._loop.call_soon_threadsafe(self.listen)
        return self._left

    def listen(self) -> asyncio.Task[None]:
        """Ends when the client has left; to be called in the event loop."""
        if self._listening is None:
            self._listening = self._loop.create_task(self._listen())
        return self._listening

    def close(self) -> None:
        """The request is over."""
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left.set()


class ThreadedHandler(ASGIHandler):
    """Django's ASGI handler with the synchronous request cycle inside.

    A client that leaves does not end its request: what a request began, it finishes, unless its view watches for the
    departure (`request.watch_departure`). What a stream would still say is not sent to a client that left.
    """

    def __init__(self) -> None:
        super().__init__()
        settings = get_settings()
        self._pool = ThreadPoolExecutor(settings.http_threads, thread_name_prefix="http")
        self._max_body = (settings.upload_max_mb + 1) * 2**20

    def load_middleware(self, is_async: bool = False) -> None:
        """Loads the synchronous chain, whatever the server is."""
        BaseHandler.load_middleware(self, is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Reads the request, answers it in a thread, sends the response."""
        try:
            body = await self._read_bounded(receive)
        except RequestAborted:
            return
        if body is None:
            error = PayloadTooLarge("The request body is over the limit (QA_UPLOAD_MAX_MB).")
            await self.send_response(JsonResponse(error_body(error, scope["path"]), status=error.status), send)
            return
        with body:
            set_script_prefix(get_script_prefix(scope))
            request, refused = self.create_request(_with_length(scope, body), body)
            departure = Departure(receive)
            try:
                response = refused if request is None else await self._answer(request, departure)
                try:
                    await (self._send_stream(response, send, departure) if response.streaming else self.send_response(response, send))
                finally:
                    response.close()
            finally:
                departure.close()

    async def _send_stream(self, response: HttpResponseBase, send: Any, departure: Departure) -> None:
        """Sends until the end of the stream, or until the client has left: uvicorn tells a sender nothing of it."""
        sending, leaving = asyncio.ensure_future(self.send_response(response, send)), departure.listen()
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not sending.done():
                sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending

    async def _answer(self, request: ASGIRequest, departure: Departure) -> HttpResponseBase:
        request.watch_departure = departure.watch
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, self._respond, request)

    def _respond(self, request: ASGIRequest) -> HttpResponseBase:
        signals.request_started.send(sender=self.__class__, scope=request.scope)
        try:
            return self.get_response(request)
        finally:
            close_old_connections()

    async def _read_bounded(self, receive: Any) -> IO[bytes] | None:
        """The body, on disk where it is long; None once it is longer than any upload may be."""
        body: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                body.close()
                raise RequestAborted()
            body.write(message.get("body", b""))
            if body.tell() > self._max_body:
                body.close()
                return None
            if not message.get("more_body", False):
                body.seek(0)
                return body


def _with_length(scope: Any, body: IO[bytes]) -> Any:
    """The scope with the body's length where the client stated none (chunked transfer): REST framework takes no length for no body."""
    if any(name == b"content-length" for name, _ in scope["headers"]):
        return scope
    length = body.seek(0, 2)
    body.seek(0)
    return {**scope, "headers": [*scope["headers"], (b"content-length", b"%d" % length)]}
