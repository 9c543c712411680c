"""The admin panel in Chromium: a curator writes, moves and imports FAQs; nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import Membership, User
from apps.dialogue.models import Bot
from apps.faq.models import FAQ, FAQStatus
from apps.faq.rows import FAQRow
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase
from apps.serving.models import Job
from tests.documents import put_document

SignIn = Callable[[Page, str, str], None]


@pytest.fixture
def base(transactional_db: None, admin_caller: object) -> KnowledgeBase:
    """A knowledge base with one published FAQ, a bot, and a reviewer who signs in with `secret`."""
    kb = KnowledgeBase.objects.create(slug="hr", name="人事")
    Bot.objects.create(slug="helper", name="小助手", public=True).kbs.set([kb])
    save_faqs(kb, [FAQRow(id="parking", questions=("哪里停车？", "停车场在哪"), answer="地下二层。")], admin_caller)  # type: ignore[arg-type]
    rita = User.objects.create_user("rita", password="secret", is_staff=True)
    Membership.objects.create(user=rita, kb=kb, role="reviewer")
    return kb


@pytest.fixture
def page(base: KnowledgeBase, chromium: Browser, live_server: LiveServer, sign_in: SignIn) -> Iterator[Page]:
    """The panel's first page after signing in, in Chinese; at the end no script has failed and no other host was asked."""
    page = chromium.new_context(base_url=live_server.url, locale="zh-CN").new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith((live_server.url, "data:")) else None)
    sign_in(page, "/admin/", "rita")
    expect(page.get_by_role("link", name="知识库")).to_be_visible()
    yield page
    page.context.close()
    assert problems == []


def test_a_reviewer_writes_an_faq_and_then_archives_it(page: Page) -> None:
    page.goto("/admin/faq/faq/add/")
    page.locator("#id_phrasings").fill("年假有几天？\n有多少年假")
    page.locator("#id_answer").fill("二十天。")
    page.get_by_role("button", name="保存", exact=True).click()
    expect(page.get_by_text("现在起生效")).to_be_visible()
    row = page.locator("#result_list tbody", has_text="年假有几天？")
    expect(row).to_contain_text("已发布")
    row.locator(".action-select").check()
    page.locator("select[name=action]").select_option("archive")
    page.get_by_role("button", name="执行").click()
    expect(page.get_by_text("1 条问答现在是“已归档”。")).to_be_visible()
    assert FAQ.objects.get(answer="二十天。").status == FAQStatus.ARCHIVED


def test_a_file_is_checked_shown_and_imported(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "faqs.csv"
    file.write_text("id,question,answer\nparking,哪里停车？,地下三层。\nleave,年假几天？,二十天。\nempty,,没有问题\n", "utf-8")
    page.goto("/admin/faq/faq/import/")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="检查文件").click()
    expect(page.locator(".panel-table")).to_contain_text("4至少需要一个问题")
    page.get_by_role("button", name="导入正确的行").click()
    expect(page.get_by_text("新增 1 条，修改 1 条，未变 0 条，未采用 1 条")).to_be_visible()
    assert FAQ.objects.get(external_id="parking").answer == "地下三层。"


def test_a_bot_is_tried_and_the_language_switched(page: Page) -> None:
    page.get_by_role("link", name="试一试").click()
    page.get_by_label("问题").fill("停车场在哪")
    page.get_by_role("button", name="提问").click()
    expect(page.locator(".panel-answer")).to_have_text("地下二层。")
    expect(page.locator(".panel-candidates li").first).to_contain_text("parking")
    page.get_by_text("rita", exact=True).click()
    page.get_by_role("button", name=re.compile("English")).click()
    expect(page.get_by_role("link", name="Knowledge bases")).to_be_visible()


def test_a_passage_is_given_a_question_that_finds_it(page: Page, base: KnowledgeBase) -> None:
    document = put_document(base, "guide", "食堂中午开放。", title="食堂指南")
    page.goto(f"/admin/retrieval/document/{document.pk}/change/")
    page.get_by_text("添加问题").click()
    page.get_by_label("第 1 段的问题").fill("几点能吃饭？")
    page.get_by_role("button", name="保存问题").click()
    expect(page.get_by_text("这些问题也能找到第 1 段")).to_be_visible()
    assert [question.text for question in document.passages.get().questions.all()] == ["几点能吃饭？"]


def test_files_are_chosen_listed_with_their_sizes_and_sent(page: Page, base: KnowledgeBase) -> None:
    page.goto("/admin/retrieval/document/upload/")
    files = [{"name": name, "mimeType": "text/plain", "buffer": b"x" * size} for name, size in (("guide.txt", 2048), ("notes.md", 10))]
    page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    expect(page.locator(".panel-files li")).to_have_text(["guide.txt2 KiB", "notes.md1 KiB"])
    page.get_by_role("button", name="上传", exact=True).click()
    expect(page.get_by_text("guide.txt 和另外 1 个文件，正在后台读取")).to_be_visible()
    expect(page.locator("[data-job]")).to_contain_text("等待中")
    assert Job.objects.get().payload["files"] == ["guide.txt", "notes.md"]


def test_addresses_are_pasted_refused_by_name_and_queued(page: Page) -> None:
    page.goto("/admin/retrieval/document/upload/")
    page.get_by_role("link", name="网页", exact=True).click()
    page.get_by_label("地址").fill("https://example.com/help/\nexample.org")
    page.get_by_role("button", name="抓取").click()
    expect(page.get_by_role("alert").locator("li")).to_have_text("example.org — 必须以 https:// 或 http:// 开头。")
    page.get_by_label("地址").fill("https://example.com/help/")
    page.get_by_role("button", name="抓取").click()
    expect(page.locator("[data-job]")).to_contain_text("https://example.com/help/")
    page.get_by_role("button", name="取消").click()
    expect(page.locator("[data-job]")).to_contain_text("已取消")
    assert Job.objects.get().payload["urls"] == ["https://example.com/help/"]


@pytest.mark.parametrize(
    "path",
    [
        "", "faq/faq/", "faq/faq/add/", "faq/faq/import/", "retrieval/knowledgebase/", "dialogue/bot/", "dialogue/turn/",
        "retrieval/document/", "retrieval/document/upload/", "retrieval/document/addresses/", "dialogue/evaluationrun/", "retrieval/explain/hr/?q=a", "retrieval/document/add/", "retrieval/ingestion/", "retrieval/ingestpolicy/add/",
    ],
)  # fmt: skip
def test_no_page_is_wider_than_a_phone(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/admin/{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
