"""The search page in Chromium: people search, narrow, page and read, by mouse and by keys, on a desktop and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from threading import Event

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import Membership, User
from apps.retrieval.models import KnowledgeBase
from core.backends import use_backend
from core.config import get_settings
from core.errors import ModelUnavailable
from tests.documents import put_document
from tests.generators import ScriptedGenerator


@pytest.fixture
def news(transactional_db: None) -> KnowledgeBase:
    """Fourteen pieces of news of two months that anybody may search."""
    kb = KnowledgeBase.objects.create(slug="news", name="新闻", open_search=True)
    for day in range(1, 13):
        put_document(
            kb,
            f"n{day}",
            f"第 {day} 届机器人大会在北京开幕。",
            title=f"机器人大会{day}",
            day=f"2026-03-{day:02d}",
            category="科技",
            tags=("大会",),
        )
    put_document(
        kb, "r/1?", "😀 暴雨影响机器人运输。", title="暴雨<b>", day="2026-05-02", category="社会", url="https://news.example.com/r1"
    )
    put_document(kb, "long", "x" * 300, title="Donaudampfschifffahrtsgesellschaft" * 4, language="en")
    return kb


@pytest.fixture
def page(news: KnowledgeBase, chromium: Browser, live_server: LiveServer) -> Iterator[Page]:
    """The page of the base in Chinese, for nobody in particular; at the end nothing has failed and no other host was asked."""
    page = chromium.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1440, "height": 900}).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith((live_server.url, "data:")) else None)
    page.goto("/search/news/")
    expect(page.locator("#summary")).to_have_text("14 篇文档")
    yield page
    page.context.close()
    assert problems == []


def titles(page: Page) -> list[str]:
    return page.locator(".hit-title").all_inner_texts()


def search(page: Page, words: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.keyboard.press("Enter")


def test_results_that_have_none_of_the_words_are_said_to_be_near_in_meaning(page: Page) -> None:
    page.goto("/search/news/?q=zzxqv")
    expect(page.locator("#summary")).to_have_text("没有文档含有这些字词")
    expect(page.get_by_text("以下是意思最接近的文档，未必与所搜内容有关。")).to_be_visible()
    expect(page.get_by_text("按日期")).to_be_hidden()
    expect(page.get_by_text("概括这些结果")).to_be_hidden()
    assert "意思相近" not in page.locator("#hits").inner_text()
    page.goto("/search/news/?q=暴雨")
    expect(page.locator(".hit mark").first).to_be_visible()
    expect(page.locator("#only-meaning")).to_be_hidden()


def test_how_many_results_have_the_words_is_told_apart_from_what_is_near_in_meaning(page: Page) -> None:
    page.goto("/search/news/?q=暴雨")
    expect(page.locator("#summary")).to_have_text("1 篇文档含有这些字词，另有 13 篇意思相近")
    expect(page.locator(".hit").first).not_to_contain_text("意思相近")
    expect(page.locator(".hit").nth(1)).to_contain_text("意思相近")


def test_words_are_searched_marked_and_read_in_their_document(page: Page) -> None:
    page.locator("body").click(position={"x": 5, "y": 400})
    search(page, "暴雨")
    expect(page.locator(".hit").first.locator("mark")).to_have_text("暴雨")
    expect(page.locator(".hit-title").first).to_have_text("暴雨<b>")
    page.locator(".hit-title a").first.click()
    expect(page.locator("#found")).to_contain_text("😀 暴雨影响机器人运输。")
    page.locator("#back").click()
    expect(page.get_by_role("searchbox")).to_have_value("暴雨")


def test_results_are_narrowed_and_the_address_keeps_it(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^社会")).click()
    expect(page.locator("#summary")).to_have_text("1 篇文档")
    page.get_by_role("button", name=re.compile("^科技")).click()
    expect(page.locator("#summary")).to_have_text("13 篇文档")
    page.reload()
    expect(page.locator(".chip")).to_have_count(2)
    page.go_back()
    expect(page.locator("#summary")).to_have_text("1 篇文档")
    page.get_by_role("button", name="去掉“社会”").click()
    expect(page.locator("#summary")).to_have_text("14 篇文档")


def test_a_month_of_the_archive_is_looked_into(page: Page) -> None:
    page.locator("[data-facet=month]").get_by_role("button", name=re.compile("三月")).click()
    expect(page.locator(".chip")).to_contain_text("2026 年 3 月")
    expect(page.locator("#summary")).to_have_text("12 篇文档")


def test_more_results_follow_and_the_focus_goes_to_the_first_of_them(page: Page) -> None:
    page.get_by_role("button", name="更多结果").click()
    expect(page.locator(".hit")).to_have_count(14)
    expect(page.locator(".hit-title a").nth(10)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator(".hit-title a").nth(9)).to_be_focused()
    assert len(set(titles(page))) == 14


def test_results_are_sorted_by_date_and_shown_in_english(page: Page) -> None:
    search(page, "机器人大会")
    page.get_by_role("button", name="按日期").click()
    expect(page.locator(".hit-title").first).to_have_text("暴雨<b>")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("button", name="By date")).to_have_attribute("aria-pressed", "true")


def test_nothing_found_and_a_server_that_is_away_are_said(page: Page) -> None:
    page.goto("/search/news/?q=火星&month=2026-05&category=科技")
    expect(page.locator(".notice")).to_contain_text("没有找到“火星”")
    page.get_by_role("button", name="清除筛选").last.click()
    expect(page.locator(".hit").first).to_be_visible()
    page.route("**/api/v1/**", lambda route: route.abort())
    search(page, "大会")
    expect(page.get_by_role("alert")).to_contain_text("连接不上服务器")
    page.unroute("**/api/v1/**")
    page.get_by_role("button", name="重试").click()
    expect(page.locator(".hit").first).to_be_visible()


@pytest.mark.parametrize("path", ["?q=机器人大会", "documents/long/"])
def test_no_page_is_wider_than_a_phone(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/search/news/{path}")
    expect(page.locator(".hit, .reading-text").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_results_and_a_document_are_summed_up_where_they_stand(page: Page, news: KnowledgeBase) -> None:
    put_document(news, "rain", "暴雨造成铁路停运。机器人被送往仓库。铁路将于周五恢复。", title="铁路停运")
    page.goto("/search/news/?q=铁路何时恢复")
    page.get_by_role("button", name="概括这些结果").click()
    expect(page.locator("#digest .digest-sentence").first).to_contain_text("铁路")
    expect(page.locator("#digest")).to_contain_text("篇文档）的摘要")
    hit = page.locator(".hit", has_text="铁路停运")
    hit.get_by_role("button", name="摘要").click()
    expect(hit.locator(".digest p")).to_have_text("暴雨造成铁路停运。机器人被送往仓库。铁路将于周五恢复。")
    assert page.get_by_role("button", name="由模型撰写").count() == 0
    page.get_by_role("button", name="English").click()
    expect(hit.get_by_role("button", name="Summary")).to_have_attribute("aria-expanded", "true")
    hit.locator(".digest-sentence").last.click()
    expect(page.locator("#found")).to_contain_text("铁路将于周五恢复。")


def test_who_is_signed_in_has_a_summary_written_and_is_told_who_wrote(page: Page, news: KnowledgeBase, live_server: LiveServer) -> None:
    put_document(news, "rain", "暴雨造成铁路停运。机器人被送往仓库。铁路将于周五恢复。", title="铁路停运")
    reader = User.objects.create_user("reader")
    Membership.objects.create(user=reader, kb=news, role="viewer")
    client = Client()
    client.force_login(reader)
    name = settings.SESSION_COOKIE_NAME
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    go = Event()
    use_backend(get_settings().generator_backend, ScriptedGenerator(go, "铁路将于周五恢复。大象可以出租。"))
    page.goto("/search/news/?q=铁路何时恢复")
    page.get_by_role("button", name="概括这些结果").click()
    expect(page.locator("#digest .digest-sentence").first).to_be_visible()
    page.locator("#digest").get_by_role("button", name="由模型撰写").click()
    expect(page.locator("#digest")).to_contain_text("模型正在撰写")
    go.set()
    expect(page.locator("#digest .digest-sentence")).to_have_text(["铁路将于周五恢复。"])
    expect(page.locator("#digest")).to_contain_text("每一句都已与原文核对")
    expect(page.locator("#digest").get_by_role("button", name="由模型撰写")).to_be_focused()
    use_backend(get_settings().generator_backend, ScriptedGenerator(ModelUnavailable("away")))
    hit = page.locator(".hit", has_text="铁路停运")
    hit.get_by_role("button", name="摘要").click()
    hit.get_by_role("button", name="由模型撰写").click()
    expect(hit.locator(".digest")).to_contain_text("模型暂时没有回应")
    expect(hit.locator(".digest-sentence")).to_have_count(3)
