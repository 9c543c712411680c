"""How HTTP requests run: each whole request, middleware and view, synchronously in one pooled thread.

Django's own ASGI handler hops between event loop and thread for every middleware and starts a thread (and a database
connection) per request. One hop into a pool that keeps its connections costs a fraction; docs/adr has the numbers.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.base import BaseHandler
from django.db import close_old_connections
from django.http import HttpResponseBase

from core.config import get_settings


class ThreadedHandler(ASGIHandler):
    """Django's ASGI handler with the synchronous request cycle inside."""

    def __init__(self) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(get_settings().http_threads, thread_name_prefix="http")

    def load_middleware(self, is_async: bool = False) -> None:
        """Loads the synchronous chain, whatever the server is."""
        BaseHandler.load_middleware(self, is_async=False)

    async def get_response_async(self, request: ASGIRequest) -> HttpResponseBase:
        """The response, made in a pooled thread."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, self._respond, request)

    def _respond(self, request: ASGIRequest) -> HttpResponseBase:
        try:
            return self.get_response(request)
        finally:
            close_old_connections()
