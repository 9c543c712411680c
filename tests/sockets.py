"""A WebSocket client for tests, over the ASGI messages themselves (`channels.testing` would need the server daphne)."""

from __future__ import annotations

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

from core.types import JSONDict

LIMIT_S = 10


class Socket(ApplicationCommunicator):
    """One socket to `path`: frames out with `send`, frames in with `receive`."""

    def __init__(self, application: Any, path: str, headers: dict[str, str], client: str = "203.0.113.1") -> None:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": path, "headers": pairs, "client": [client, 1], "query_string": b"", "subprotocols": []}
        super().__init__(application, scope)

    async def open(self) -> None:
        """Connects; the application must accept."""
        await self.send_input({"type": "websocket.connect"})
        accepted = await self.receive_output(LIMIT_S)
        assert accepted["type"] == "websocket.accept", accepted

    async def send(self, frame: JSONDict | str | bytes) -> None:
        """Sends an object as JSON, a text or bytes as they are."""
        text = json.dumps(frame) if isinstance(frame, dict) else frame
        await self.send_input({"type": "websocket.receive", "bytes" if isinstance(text, bytes) else "text": text})

    async def receive(self) -> Any:
        """The next frame, parsed."""
        message = await self.receive_output(LIMIT_S)
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def close_code(self) -> int:
        """The code that the application closes with; that must come next."""
        message = await self.receive_output(LIMIT_S)
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def leave(self) -> None:
        """Goes away, as a lost connection does."""
        await self.send_input({"type": "websocket.disconnect", "code": 1006})
        await self.wait(LIMIT_S)
