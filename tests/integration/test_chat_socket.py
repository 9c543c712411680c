"""A chat socket as a dialogue: what is sent, what comes back, and what happens to a turn whose socket is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event

import pytest
from channels.db import database_sync_to_async

from apps.accounts.keys import create_key
from apps.accounts.permissions import AccessRole, Caller
from apps.dialogue.models import Bot, Turn
from apps.dialogue.turnlog import MemoryTurnLog
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase
from core.backends import use_backend
from core.config import get_settings
from core.events import ENDS, SourcesFound, TextDelta
from core.types import JSONDict
from qa_project.asgi import application
from tests.skills import ScriptedSkill
from tests.sockets import LIMIT_S, Socket

pytestmark = pytest.mark.django_db(transaction=True)
ANSWER = "".join(f"第{n}条：请在十五个工作日内提交材料。" for n in range(300))


@pytest.fixture(autouse=True)
def rules(kb: KnowledgeBase, admin_caller: Caller) -> None:
    save_faqs(kb, [parse_row({"id": "rules", "questions": ["报销制度是什么？"], "answer": ANSWER})], admin_caller)


@asynccontextmanager
async def socket(bot: str, **headers: str) -> AsyncIterator[Socket]:
    """An open socket to the bot, closed at the end."""
    ws = Socket(application, f"/ws/bots/{bot}/", headers)
    await ws.open()
    yield ws
    await ws.leave()


async def turn_on(ws: Socket, frame: JSONDict | None = None, *, until: int = 10**6) -> list[JSONDict]:
    """Sends the frame and reads a turn's events to its end, or so many."""
    if frame is not None:
        await ws.send(frame)
    frames: list[JSONDict] = []
    while len(frames) < until and not (frames and frames[-1]["type"] in (*ENDS, "error")):
        frames.append(await ws.receive())
    return frames


def text_of(frames: list[JSONDict]) -> str:
    return "".join(str(frame["text"]) for frame in frames if frame["type"] == "text_delta")


@database_sync_to_async
def stored(turn: object) -> Turn:
    return Turn.objects.get(pk=str(turn))


class Gate:
    """A skill that says a word, waits until it is opened, and says another; `about` keeps it from other questions."""

    def __init__(self, add_skills: Callable[..., None]) -> None:
        self.opened, self.reached = Event(), Event()
        wait: list[Callable[[], object]] = [self.reached.set, lambda: self.opened.wait(LIMIT_S)]
        add_skills(ScriptedSkill([SourcesFound(sources=()), TextDelta(text="before "), *wait, TextDelta(text="after")], about="gate"))


async def test_a_question_is_answered_event_by_event(bot: Bot) -> None:
    async with socket("helper") as ws:
        frames = await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame["type"] for frame in frames[:3]] == ["turn_started", "skill_chosen", "sources_found"]
    assert text_of(frames) == ANSWER == frames[-1]["answer"]
    assert frames[-1]["type"] == "turn_finished"
    assert [source["url"] for frame in (frames[2], frames[-1]) for source in frame["sources"]] == [None, None]


async def test_a_conversation_goes_on(bot: Bot) -> None:
    async with socket("helper") as ws:
        first = await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})
        again = await turn_on(ws, {"type": "ask", "text": "报销制度是什么", "conversation": first[0]["conversation"]})
        assert again[0]["conversation"] == first[0]["conversation"]
        assert again[0]["turn"] != first[0]["turn"]
        unknown = await turn_on(ws, {"type": "ask", "text": "报销制度是什么", "conversation": "0" * 32})
        assert unknown[0]["error"]["code"] == "not_found"


BAD = {
    "not JSON": "hello",
    "a list": "[1]",
    "no type": "{}",
    "unknown type": '{"type":"dance"}',
    "ask without text": '{"type":"ask"}',
    "blank text": '{"type":"ask","text":" \\n"}',
    "text of another type": '{"type":"ask","text":["a"]}',
    "too long": '{"type":"ask","text":"' + "长" * 10_001 + '"}',
    "conversation of another type": '{"type":"ask","text":"a","conversation":7}',
    "stop without turn": '{"type":"stop"}',
    "resume with a negative number": '{"type":"resume","turn":"x","after":-1}',
    "resume with a truth value": '{"type":"resume","turn":"x","after":true}',
    "half a surrogate": '{"type":"ask","text":"\\ud800"}',
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
async def test_a_bad_frame_gets_an_error_and_the_socket_goes_on(bot: Bot, frame: str) -> None:
    async with socket("helper") as ws:
        await ws.send(frame)
        error = await ws.receive()
        assert (error["type"], error["error"]["code"], error["error"]["retryable"]) == ("error", "invalid_request", False)
        assert text_of(await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})) == ANSWER


@pytest.mark.parametrize("frame", [{"type": "stop", "turn": "nope"}, {"type": "resume", "turn": "0" * 32, "after": 0}])
async def test_an_unknown_turn_is_not_found(bot: Bot, frame: JSONDict) -> None:
    async with socket("helper") as ws:
        assert (await turn_on(ws, frame))[0]["error"]["code"] == "not_found"


async def test_bytes_are_no_frame(bot: Bot) -> None:
    async with socket("helper") as ws:
        await ws.send(b'{"type":"ask"}')
        assert (await ws.receive())["error"]["code"] == "invalid_request"


async def refusal(bot: str, **headers: str) -> tuple[str, int]:
    """The code of the error that a refused socket gets, and of the close; a frame sent before is not heard."""
    ws = Socket(application, f"/ws/bots/{bot}/", headers)
    await ws.open()
    await ws.send({"type": "ask", "text": "报销制度是什么"})
    error, code = await ws.receive(), await ws.close_code()
    assert await ws.receive_nothing(0.05)
    await ws.leave()
    return error["error"]["code"], code


async def test_an_unknown_bot_is_refused(bot: Bot) -> None:
    assert await refusal("nobody") == ("not_found", 4404)


async def test_a_wrong_key_is_refused(bot: Bot) -> None:
    assert await refusal("helper", authorization="Bearer wrong") == ("not_authenticated", 4403)


@pytest.fixture
def private(bot: Bot) -> Bot:
    bot.public = False
    bot.save()
    return bot


async def test_a_private_bot_answers_known_people_only(private: Bot, kb: KnowledgeBase) -> None:
    assert await refusal("helper") == ("not_authenticated", 4403)
    _, key = await database_sync_to_async(create_key)(name="k", role=AccessRole.ASKER, bot_id=private.pk)
    async with socket("helper", authorization=f"Bearer {key}") as ws:
        frames = await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})
        assert text_of(frames) == ANSWER
    _, other = await database_sync_to_async(create_key)(name="o", role=AccessRole.ASKER, kb_id=kb.pk)
    async with socket("helper", authorization=f"Bearer {other}") as ws:
        assert (await turn_on(ws, {"type": "resume", "turn": frames[0]["turn"]}))[0]["error"]["code"] == "not_found"


async def test_a_page_of_another_origin_is_refused(bot: Bot) -> None:
    assert await refusal("helper", host="wenlu.example", origin="https://evil.example") == ("forbidden", 4403)
    async with socket("helper", host="wenlu.example", origin="https://wenlu.example") as ws:
        assert text_of(await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})) == ANSWER


async def test_a_page_of_a_trusted_origin_is_welcome(bot: Bot, configure: Callable) -> None:
    configure(trusted_origins="https://a.example, https://b.example")
    async with socket("helper", host="wenlu.example", origin="https://b.example") as ws:
        assert text_of(await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})) == ANSWER


async def test_a_stop_ends_the_turn_with_what_was_said(bot: Bot, add_skills: Callable) -> None:
    gate = Gate(add_skills)
    async with socket("helper") as ws:
        first = await turn_on(ws, {"type": "ask", "text": "gate"}, until=4)
        await ws.send({"type": "stop", "turn": first[0]["turn"]})
        await asyncio.sleep(0.1)
        gate.opened.set()
        rest = await turn_on(ws)
    assert (rest[-1]["type"], rest[-1]["stopped"], rest[-1]["answer"]) == ("turn_finished", True, "before ")
    assert text_of(first + rest) == "before "


async def test_one_socket_may_have_so_many_turns_running(bot: Bot, add_skills: Callable, configure: Callable) -> None:
    gate = Gate(add_skills)
    configure(max_live_turns_per_socket=2)
    async with socket("helper") as ws:
        for _ in range(3):
            await ws.send({"type": "ask", "text": "gate"})
        frames = [await ws.receive() for _ in range(9)]
        errors = [frame for frame in frames if frame["type"] == "error"]
        assert [error["error"]["code"] for error in errors] == ["rate_limited"]
        gate.opened.set()
        ends = [await ws.receive() for _ in range(4)]
        assert [end["type"] for end in ends].count("turn_finished") == 2
        assert text_of(await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})) == ANSWER


async def test_a_turn_goes_on_after_its_socket_is_gone_and_is_resumed_on_another(bot: Bot, add_skills: Callable) -> None:
    gate = Gate(add_skills)
    async with socket("helper") as ws:
        first = await turn_on(ws, {"type": "ask", "text": "gate"}, until=4)
    assert (await stored(first[0]["turn"])).state == "running"
    gate.opened.set()
    async with socket("helper") as ws:
        rest = await turn_on(ws, {"type": "resume", "turn": first[0]["turn"], "after": 4})
    assert [frame["seq"] for frame in first + rest] == [1, 2, 3, 4, 5, 6]
    assert text_of(first + rest) == "before after" == rest[-1]["answer"]
    assert (await stored(first[0]["turn"])).answer == "before after"


@pytest.mark.parametrize("after", [0, 1, 3, 17])
async def test_after_the_log_forgot_it_a_turn_is_rebuilt_with_the_same_frames(bot: Bot, after: int) -> None:
    async with socket("helper") as ws:
        told = await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})
        use_backend(get_settings().turn_log_path, MemoryTurnLog())
        assert await turn_on(ws, {"type": "resume", "turn": told[0]["turn"], "after": after}) == told[after:]


async def test_whoever_has_seen_the_end_is_told_nothing_more(bot: Bot, configure: Callable) -> None:
    configure(max_live_turns_per_socket=1)
    async with socket("helper") as ws:
        told = await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})
        await ws.send({"type": "resume", "turn": told[0]["turn"], "after": told[-1]["seq"]})
        assert await ws.receive_nothing(1.5)
        assert text_of(await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})) == ANSWER


async def test_too_many_questions_in_a_minute_are_refused(bot: Bot, configure: Callable) -> None:
    configure(ask_rate_per_minute=1)
    async with socket("helper") as ws:
        await turn_on(ws, {"type": "ask", "text": "报销制度是什么"})
        error = (await turn_on(ws, {"type": "ask", "text": "报销制度是什么"}))[-1]["error"]
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 0 < error["details"]["retry_after_s"] <= 60
