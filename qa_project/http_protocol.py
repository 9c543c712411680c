"""How a response leaves: its head and its body in one write.

uvicorn writes the head by itself, and the client wakes up for it. Where client and server share cores, the kernel gives it the
core of the thread that has just written, which holds the interpreter: a fifth of the time of 32 callers went there.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites:
    """A transport that writes what it is given in one turn of the event loop at once; everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keeps the data until the event loop comes round."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(bytes(data))

    def close(self) -> None:
        """Closes once everything is written."""
        self._flush()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """Bytes that are not written yet."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))


class JoiningProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol over `JoinedWrites`; a socket that it hands over to WebSockets keeps them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]
