"""Does the chat page do what a person expects? The real page and HTTP API of a live server; the test plays the bot's socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import Membership, User
from apps.accounts.permissions import AccessRole, Caller
from apps.dialogue.models import Bot, Conversation, Feedback, Turn
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.parsing.parsed import Block, BlockKind

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = {"kind": "faq", "id": "7", "title": "年假有多少天？", "text": "满一年五天，满十年十天。", "url": None, "score": 0.9}


class ScriptedBot:
    """The far end of the page's socket: keeps what the page sends, sends what the test says."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.turn = ""
        self.seq = 0
        self.sent: list[dict[str, Any]] = []
        self.sockets: list[WebSocketRoute] = []

    def attach(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda message: self.sent.append(json.loads(message)))

    def say(self, kind: str, **fields: object) -> None:
        self.seq += 1
        self.sockets[-1].send(json.dumps({"type": kind, "turn": self.turn, "seq": self.seq, **fields}))

    def begin(self, question: str) -> None:
        self.turn = Turn.objects.create(conversation=self.conversation, question=question).pk
        self.seq = 0
        self.say("turn_started", conversation=self.conversation.pk)

    def finish(self, answer: str, **more: object) -> None:
        stored = {"answered": True, "skill": "faq", "confidence": 0.9, "sources": [SOURCE], "suggestions": [], "degraded": False, **more}
        Turn.objects.filter(pk=self.turn).update(answer=answer, state="finished", **{**stored, "skill": stored["skill"] or ""})
        self.say("turn_finished", conversation=self.conversation.pk, answer=answer, stopped=False, timings_ms={"total": 12.0}, **stored)


@pytest.fixture
def help_bot() -> Bot:
    bot = Bot.objects.create(
        slug="help", name="服务台</script>", public=True, suggestions_zh="年假有多少天？\n怎么报销？", suggestions_en="How much leave?"
    )
    bot.kbs.add(KnowledgeBase.objects.create(slug="help", name="服务台"))
    return bot


@pytest.fixture
def script(help_bot: Bot) -> ScriptedBot:
    return ScriptedBot(Conversation.objects.create(bot=help_bot))


@pytest.fixture
def page(chromium: Browser, live_server: LiveServer, script: ScriptedBot) -> Iterator[Page]:
    """The chat page in Chinese; anything the browser complains about fails the test."""
    context = chromium.new_context(locale="zh-CN", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None)
    page.route_web_socket("**/ws/bots/help/", script.attach)
    page.goto(live_server.url)
    expect(page.locator(".greeting, .turns").first).to_be_visible()
    yield page
    context.close()
    assert complaints == []


def ask(page: Page, script: ScriptedBot, question: str) -> None:
    page.get_by_label("你的问题").fill(question)
    page.keyboard.press("Enter")
    wait_for(page, script, type="ask", text=question)
    script.begin(question)


def wait_for(page: Page, script: ScriptedBot, **frame: object) -> dict[str, Any]:
    """The last frame sent, as soon as it has these fields."""
    for _ in range(100):
        if script.sent and frame.items() <= script.sent[-1].items():
            return script.sent[-1]
        page.wait_for_timeout(50)
    raise AssertionError(f"the page sent {script.sent}, not {frame}")


def answer(page: Page) -> Any:
    return page.locator(".turn").last.locator(".prose")


def test_a_suggested_question_is_asked(page: Page, script: ScriptedBot) -> None:
    page.get_by_role("button", name="怎么报销？").click()
    assert wait_for(page, script, type="ask") == {"type": "ask", "text": "怎么报销？"}


def test_an_answer_streams_and_shows_its_sources(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    script.say("text_delta", text="满一年")
    expect(answer(page)).to_have_text("满一年")
    script.finish("满一年**五天**。", suggestions=["病假呢？"])
    expect(answer(page).locator("strong")).to_have_text("五天")
    page.locator(".source summary").click()
    expect(page.locator(".source-text")).to_have_text(SOURCE["text"])
    page.get_by_role("button", name="病假呢？").click()
    assert wait_for(page, script, text="病假呢？")["conversation"] == script.conversation.pk


def test_what_an_answer_says_word_for_word_is_marked_in_its_source(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    source = {**SOURCE, "kind": "passage", "text": "😀 满一年五天。满十年十天。", "marks": [[2, 8]], "page": 3, "start": 0, "end": 14}
    script.finish("满一年五天。", sources=[source])
    page.locator(".source summary").click()
    expect(page.locator(".source-text mark")).to_have_text("满一年五天。")
    expect(page.locator(".source-text")).to_have_text(source["text"])
    expect(page.locator(".source-body")).to_contain_text("第 3 页")


def test_a_dropped_socket_loses_nothing(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    script.say("text_delta", text="满一年")
    expect(answer(page)).to_have_text("满一年")
    script.sockets[-1].close(code=1012)
    wait_for(page, script, type="resume", turn=script.turn, after=2)
    script.say("text_delta", text="五天。")
    script.finish("满一年五天。")
    expect(answer(page)).to_have_text("满一年五天。")
    assert len(script.sockets) == 2


def test_a_reload_goes_on_where_the_answer_was(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    script.say("text_delta", text="满一年")
    expect(answer(page)).to_have_text("满一年")
    page.reload()
    wait_for(page, script, type="resume", turn=script.turn, after=2)
    expect(answer(page)).to_have_text("满一年")
    script.say("text_delta", text="五天。")
    expect(answer(page)).to_have_text("满一年五天。")


def test_the_stop_button_stops_the_turn(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    page.get_by_role("button", name="停止回答").click()
    wait_for(page, script, type="stop", turn=script.turn)
    expect(page.locator(".status")).to_have_text("正在停止…")


def test_a_failed_turn_can_be_tried_again(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    script.say("turn_failed", error={"code": "model_unavailable", "message": "gone", "retryable": True})
    expect(page.get_by_role("alert")).to_contain_text("回答服务暂时不可用")
    script.sent.clear()
    page.get_by_role("button", name="重试").click()
    wait_for(page, script, type="ask", text="年假？")
    expect(page.locator(".turn")).to_have_count(1)


def test_an_unanswered_question_looks_different_and_offers_the_nearest(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "今天天气？")
    script.finish("抱歉，没有找到。", answered=False, skill=None, sources=[], suggestions=["年假有多少天？"])
    expect(page.locator(".answer")).to_have_attribute("data-kind", "unanswered")
    expect(page.locator(".note")).to_have_text("没有找到确切的答案")
    expect(page.get_by_role("region", name="你是不是想问").get_by_role("button")).to_have_text("年假有多少天？")


def test_a_vote_and_its_comment_are_stored(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    script.finish("五天。")
    page.get_by_role("button", name="没有帮助").click()
    page.get_by_label("哪里不对？（选填）").fill("已经改成七天")
    page.get_by_role("button", name="提交").click()
    expect(page.locator("#toast")).to_have_text("感谢你的反馈")
    assert Feedback.objects.values_list("turn_id", "vote", "comment").get() == (script.turn, -1, "已经改成七天")


def test_a_conversation_is_read_again_from_the_list(page: Page, script: ScriptedBot) -> None:
    ask(page, script, "年假？")
    script.finish("五天。")
    expect(answer(page)).to_have_text("五天。")
    page.locator("#sidebar").get_by_role("button", name="新对话").click()
    expect(page.locator(".greeting")).to_be_visible()
    page.get_by_role("button", name="年假？", exact=True).click()
    expect(answer(page)).to_have_text("五天。")
    expect(page.locator(".source-title")).to_have_text(SOURCE["title"])


def test_the_language_switch_is_remembered(page: Page) -> None:
    page.get_by_role("button", name="English").click()
    expect(page.locator(".greeting h1")).to_have_text("Hello, I am Wenlu. How can I help you?")
    page.reload()
    expect(page.get_by_label("Your question")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_reader_is_not_offered_the_explanation_and_nothing_is_refused(page: Page, script: ScriptedBot) -> None:
    refused: list[str] = []
    page.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
    ask(page, script, "年假？")
    script.finish("五天。")
    expect(page.locator(".actions")).to_be_visible()
    assert (refused, page.locator(".explain").count()) == ([], 0)


def test_a_curator_sees_why_and_may_vote(page: Page, script: ScriptedBot, live_server: LiveServer, admin_client: Client) -> None:
    session = admin_client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page.reload()
    ask(page, script, "年假？")
    Turn.objects.filter(pk=script.turn).update(trace={"faq": {"confidence": 0.93, "accepted": True, "new_part": 1}})
    script.finish("五天。")
    page.locator("summary", has_text="为什么这样回答").click()
    expect(page.locator(".explain-parts dd").first).to_have_text("0.93")
    expect(page.locator(".explain-parts section").first.locator("dt")).to_have_text(["把握", "足够有把握", "new part"])
    page.get_by_role("button", name="有帮助", exact=True).click()
    expect(page.locator("#toast")).to_have_text("感谢你的反馈")


def cited(kb: KnowledgeBase) -> dict[str, Any]:
    """A passage on the second page of a long document, as a source that the answer says word for word."""
    blocks = tuple(Block(kind=BlockKind.PARAGRAPH, text=f"第{page}页的规定。" * 200 + f"满{page}年五天。", page=page) for page in (1, 2))
    draft = draft_of(Reading(row=DocumentRow(id="手册.pdf", text="", title="手册"), blocks=blocks))
    [document] = save_documents(kb, [draft], Caller(name="user:1", role=AccessRole.ADMIN)).documents
    at = document.text.index("满2年五天。")
    place = {"document": "手册.pdf", "start": at, "end": at + 6, "page": 2, "marks": [[0, 6]]}
    return {**SOURCE, "kind": "passage", "title": "手册", "text": document.text[at : at + 6], **place}


def test_who_may_read_the_documents_opens_one_at_the_cited_place(
    page: Page, script: ScriptedBot, live_server: LiveServer, client: Client
) -> None:
    kb, reader = KnowledgeBase.objects.get(), User.objects.create_user("vera")
    Membership.objects.create(user=reader, kb=kb, role="viewer")
    client.force_login(reader)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page.reload()
    ask(page, script, "年假？")
    script.finish("满2年五天。", sources=[cited(kb)])
    page.locator(".source summary").click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="打开文档（第 2 页）").click()
    found = opened.value.locator("#found")
    expect(found).to_have_text("满2年五天。")
    expect(found).to_be_in_viewport()
    expect(opened.value.locator(".reading-page")).to_have_text("第 2 页")


def test_nobody_else_is_offered_a_document_and_nothing_is_asked(page: Page, script: ScriptedBot) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ask(page, script, "年假？")
    script.finish("满2年五天。", sources=[cited(KnowledgeBase.objects.get())])
    page.locator(".source summary").click()
    expect(page.locator(".source-text mark")).to_have_text("满2年五天。")
    assert (page.locator(".source-body a").count(), [url for url in asked if "/api/" in url]) == (0, [])


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_nothing_sticks_out_sideways(page: Page, script: ScriptedBot, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    ask(page, script, "长" * 300 + " https://example.com/" + "a" * 200)
    script.finish(
        "```\n" + "x" * 400 + "\n```\n" + "b" * 300, sources=[{**SOURCE, "title": "c" * 200, "text": "d" * 500}], suggestions=["e" * 150]
    )
    expect(page.locator(".actions")).to_be_visible()
    assert page.evaluate("[document.documentElement.scrollWidth, document.querySelector('#scroller').scrollWidth]") == [
        width,
        page.evaluate("document.querySelector('#scroller').clientWidth"),
    ]


def test_the_drawer_of_a_narrow_screen_keeps_the_keyboard_inside_and_closes_with_escape(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="打开对话记录").click()
    assert page.evaluate(
        "[document.querySelector('#main').inert, document.querySelector('#sidebar').contains(document.activeElement)]"
    ) == [True, True]
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="打开对话记录")).to_be_focused()
