"""What a chat socket understands: `ask`, `stop` and `resume` in, the events of turns out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer

from apps.accounts.limits import Account, take_request
from apps.accounts.permissions import ANYBODY, Caller
from apps.accounts.sockets import CLOSE_REFUSED, CLOSE_UNKNOWN, caller_of_socket, check_origin
from apps.dialogue.models import Bot
from apps.dialogue.pump import in_thread, iterate_in_thread
from apps.dialogue.selectors import bot_for, turn_for
from apps.dialogue.streaming import replay_turn, run_turn, turn_log
from apps.dialogue.turns import TurnRequest
from apps.dialogue.understanding import check_question
from core.config import get_settings
from core.errors import InvalidRequest, QAError, RateLimited
from core.events import ENDS
from core.types import JSONDict

log = logging.getLogger(__name__)


class ChatConsumer(AsyncWebsocketConsumer):
    """One person's socket to one bot. Turns outlive it; whoever comes back asks for the rest with `resume`."""

    channel_layer_alias = None  # nothing is broadcast to chats: no queue is kept for them
    bot: Bot | None = None
    caller: Caller = ANYBODY

    async def connect(self) -> None:
        """Accepts whoever may ask the bot; anybody else gets the reason as an error frame, then the close."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._live: set[asyncio.Task[None] | None] = set()
        await self.accept()
        try:
            check_origin(self.scope)
            self.caller, self.bot = await in_thread(self._identify)
        except QAError as error:
            await self._send_error(error)
            await self.close(CLOSE_UNKNOWN if error.status == 404 else CLOSE_REFUSED)

    async def disconnect(self, code: int) -> None:
        """Stops sending; the turns themselves go on."""
        for task in self._tasks:
            task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answers a bad frame with an error and goes on; what was sent before a refusal arrived is not heard."""
        if self.bot is None:
            return
        try:
            await self._handle(_parse(text_data))
        except QAError as error:
            await self._send_error(error)

    async def _handle(self, frame: JSONDict) -> None:
        match frame.get("type"):
            case "ask":
                await self._ask(frame)
            case "stop":
                await in_thread(self._stop, _text(frame, "turn"))
            case "resume":
                after = frame.get("after", 0)
                if not isinstance(after, int) or isinstance(after, bool) or after < 0:
                    raise InvalidRequest("`after` must be the last sequence number seen, 0 or more.", field="after")
                turn = await in_thread(turn_for, _text(frame, "turn"), self.caller)
                self._start(lambda: replay_turn(turn, after), to_the_end=False)
            case _:
                raise InvalidRequest("`type` must be ask, stop or resume.", field="type")

    async def _ask(self, frame: JSONDict) -> None:
        text = check_question(frame.get("text"))
        conversation = frame.get("conversation")
        if conversation is not None and not isinstance(conversation, str):
            raise InvalidRequest("`conversation` must be the id that turn_started gave.", field="conversation")
        assert self.bot is not None
        await in_thread(take_request, Account(caller=self.caller, model=self.bot.slug, bot_id=self.bot.pk, address=self._address()))
        request = TurnRequest(bot=self.bot, caller=self.caller, text=text, conversation=conversation)
        self._start(lambda: run_turn(request), to_the_end=True)

    def _stop(self, turn_id: str) -> None:
        turn_log().cancel(turn_for(turn_id, self.caller).pk)

    def _start(self, make: Callable[[], Iterator[JSONDict]], *, to_the_end: bool) -> None:
        most = get_settings().max_live_turns_per_socket
        if len(self._live) >= most:
            raise RateLimited(f"This socket has {most} turns running; wait for one to end, or stop it.", retry_after_s=1)
        self._spawn(self._forward(make, to_the_end))

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        for tasks in (self._tasks, self._live):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _forward(self, make: Callable[[], Iterator[JSONDict]], to_the_end: bool) -> None:
        try:
            async for frame in iterate_in_thread(make, to_the_end=to_the_end):
                if frame["type"] in ENDS:
                    self._live.discard(asyncio.current_task())  # before it is sent: who has seen the end may ask at once
                await self.send(text_data=orjson.dumps(frame).decode())
        except QAError as error:
            await self._send_error(error)

    async def _send_error(self, error: QAError) -> None:
        await self.send(text_data=orjson.dumps({"type": "error", "error": error.as_dict()}).decode())

    def _identify(self) -> tuple[Caller, Bot]:
        caller = caller_of_socket(self.scope)
        return caller, bot_for(self.scope["url_route"]["kwargs"]["bot"], caller)

    def _address(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else "unknown"


def _parse(text: str | None) -> JSONDict:
    try:
        frame = orjson.loads(text or "")
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The frame is not JSON: {error}.") from error
    if not isinstance(frame, dict):
        raise InvalidRequest('A frame is an object such as {"type": "ask", "text": "…"}.')
    return frame


def _text(frame: JSONDict, name: str) -> str:
    value = frame.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"`{name}` is missing or is not text.", field=name)
    return value
