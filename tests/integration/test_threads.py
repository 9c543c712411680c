"""How a request runs: bounded before it is read, whole in one thread, its bytes taken for what they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import httpx
import pytest
from channels.db import database_sync_to_async

from apps.dialogue.models import Bot, Turn
from qa_project import lifespan
from qa_project.threads import ThreadedHandler
from tests.skills import ScriptedSkill

pytestmark = pytest.mark.django_db(transaction=True)
ASK = "/api/v1/bots/helper/ask"


def handler() -> ThreadedHandler:
    made = ThreadedHandler()
    made.load_middleware()
    return made


async def send(method: str, path: str, **more: object) -> httpx.Response:
    transport = httpx.ASGITransport(handler())
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        return await http.request(method, path, **more)  # type: ignore[arg-type]


async def test_a_body_over_the_limit_is_refused_before_it_is_read_whole(configure: Callable) -> None:
    configure(upload_max_mb=1)
    read = 0

    async def endless() -> object:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 2**18

    refused = await send("POST", ASK, content=endless(), headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "payload_too_large")
    assert read < 20


async def test_a_request_runs_in_one_thread_that_is_not_the_loops(bot: Bot, add_skills: Callable) -> None:
    threads: list[str] = []
    note = lambda: threads.append(threading.current_thread().name)  # noqa: E731
    add_skills(ScriptedSkill([note, note], about="thread"))
    assert (await send("POST", ASK, json={"question": "thread"})).status_code == 200
    assert len(set(threads)) == 1 and threads[0].startswith("http")


async def test_threads_are_used_again(bot: Bot, add_skills: Callable, configure: Callable) -> None:
    threads: set[int] = set()
    configure(http_threads=2)
    add_skills(ScriptedSkill([lambda: threads.add(threading.get_ident())], about="thread"))
    transport = httpx.ASGITransport(handler())
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        for _ in range(5):
            await http.post(ASK, json={"question": "thread"})
    assert 1 <= len(threads) <= 2


@pytest.mark.parametrize("content", [b'{"question": "\xff\xfe"}', b'{"question": "a\xc3"}', b"\x80"])
async def test_broken_utf8_is_refused(bot: Bot, content: bytes) -> None:
    refused = await send("POST", ASK, content=content, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/api/v1/%ff%fe", "/api/v1/bots/%ff/ask", "/api/v1/turns/%00/explain"])
async def test_a_broken_address_is_not_found(bot: Bot, path: str) -> None:
    refused = await send("GET", path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


async def test_a_client_that_leaves_while_sending_gets_nothing() -> None:
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send_message(message: object) -> None:
        sent.append(message)

    await handler()({"type": "http", "method": "POST", "path": ASK, "headers": [], "query_string": b""}, receive, send_message)
    assert sent == []


async def test_a_turn_is_whole_though_the_client_leaves_during_it(bot: Bot) -> None:
    messages = iter([{"type": "http.request", "body": json.dumps({"question": "你好"}).encode()}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send_message(message: object) -> None:
        raise OSError("the client is gone")

    scope = {"type": "http", "method": "POST", "path": ASK, "headers": [(b"content-type", b"application/json")], "query_string": b""}
    with pytest.raises(OSError, match="gone"):
        await handler()(scope, receive, send_message)
    assert (await database_sync_to_async(Turn.objects.get)()).state == "finished"


async def test_alive_and_ready_and_in_numbers() -> None:
    assert (await send("GET", "/healthz")).json() == {"status": "ok"}
    ready = (await send("GET", "/readyz")).json()
    assert (ready["status"], ready["checks"]) == ("ok", {"database": "ok", "encoder": "ok", "generator": "cold"})
    assert "text/plain" in (await send("GET", "/metrics")).headers["content-type"]


@pytest.mark.parametrize(
    ("wanted", "encoder", "shares"),
    [
        ("auto", "workers.local.LocalEncoder", True),
        ("auto", "workers.remote.RemoteEncoder", False),
        ("on", "workers.remote.RemoteEncoder", True),
        ("off", "workers.local.LocalEncoder", False),
    ],
)
def test_threads_share_a_core_where_the_encoder_is_in_the_process(
    configure: Callable, monkeypatch: pytest.MonkeyPatch, wanted: str, encoder: str, shares: bool
) -> None:
    configure(share_core=wanted, encoder_backend=encoder, redis_url="redis://elsewhere")
    shared = list[bool]()
    monkeypatch.setattr(lifespan, "share_core", lambda: shared.append(True))
    lifespan.gather_threads()
    assert bool(shared) == shares
