"""How HTTP requests run: each whole request, middleware and view, synchronously in one pooled thread.

Django's own ASGI handler hops between event loop and thread for every middleware, and starts a thread (and a database
connection) per request. One hop into a pool that keeps its connections costs a fraction; docs/adr/0002 has the numbers.
"""

from __future__ import annotations

import asyncio
import contextvars
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import close_old_connections
from django.http import HttpResponseBase, JsonResponse
from django.urls import set_script_prefix

from core.config import get_settings
from qa_project.errors import PayloadTooLarge

SPOOL_BYTES = 2**20


class ThreadedHandler(ASGIHandler):
    """Django's ASGI handler with the synchronous request cycle inside.

    A client that leaves does not end its request: what a request began, it finishes.
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
            await self.send_response(JsonResponse({"error": error.as_dict()}, status=error.status), send)
            return
        with body:
            set_script_prefix(get_script_prefix(scope))
            request, refused = self.create_request(_with_length(scope, body), body)
            response = refused if request is None else await self._answer(request)
            try:
                await self.send_response(response, send)
            finally:
                response.close()

    async def _answer(self, request: ASGIRequest) -> HttpResponseBase:
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
