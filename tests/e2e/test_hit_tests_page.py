"""The panel's page of hit tests in Chromium: a test that runs shows how far it is, and its figures stand there when it is done."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from apps.accounts.commands import command_caller
from apps.accounts.models import User
from apps.dialogue.gold_sets import save_gold_set
from apps.dialogue.hit_tests import queue_hit_test
from apps.dialogue.models import GoldSet
from apps.retrieval.models import KnowledgeBase
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from tests.documents import put_documents
from tests.e2e.conftest import tell
from tests.jobs import run_to_the_end


@pytest.fixture
def gold(transactional_db: None) -> GoldSet:
    kb = KnowledgeBase.objects.create(slug="hr", name="员工手册")
    put_documents(kb, canteen="The canteen opens at noon.", library="The library is upstairs.")
    rows = [{"query": "canteen", "relevant": ["canteen"]}, {"query": "where is the library", "relevant": ["library"]}]
    return save_gold_set(kb, "周测", "\n".join(map(json.dumps, rows)).encode(), command_caller("test"))


@pytest.fixture
def page(gold: GoldSet, sockets: list[WebSocketRoute], screen: Page, sign_in: Callable[[Page, str, str], None]) -> Page:
    User.objects.create_user("ada", password="secret", is_staff=True, role="admin")
    sign_in(screen, "/admin/dialogue/evaluationrun/", "ada")
    expect(screen.get_by_text("周测").first).to_be_visible()
    screen.evaluate("document.body.dataset.kept = 'yes'")
    return screen


def test_a_test_shows_how_far_it_is_and_its_figures_without_a_reload(page: Page, gold: GoldSet, sockets: list[WebSocketRoute]) -> None:
    job = queue_hit_test(gold, command_caller("test"))
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING, lease_owner="other:1:x:y")
    tell(page, sockets)
    expect(page.get_by_text("0 / 2 个问题")).to_be_visible()
    tell(page, sockets, done=1, percent=50.0, eta_s=30)
    expect(page.get_by_text("1 / 2 个问题")).to_be_visible()
    expect(page.get_by_text("约剩 30 秒")).to_be_visible()
    Job.objects.update(state=Job.State.QUEUED, lease_owner="")
    run_to_the_end(JobRunner(0))
    tell(page, sockets)
    expect(page.get_by_role("cell", name="1.000").first).to_be_visible()
    expect(page.get_by_role("link", name="报告")).to_be_visible()
    assert page.evaluate("document.body.dataset.kept") == "yes"
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


def test_the_page_stays_where_the_reader_is_while_it_renews_itself(page: Page, gold: GoldSet, sockets: list[WebSocketRoute]) -> None:
    queue_hit_test(gold, command_caller("test"))
    tell(page, sockets)
    cancel = page.get_by_role("button", name="取消")
    cancel.focus()
    Job.objects.update(state=Job.State.RUNNING, lease_owner="other:1:x:y")
    tell(page, sockets)
    expect(page.locator("[data-state=running]")).to_be_visible()
    expect(cancel).to_be_focused()
    expect(page.locator("[data-told]")).to_have_text("周测: 进行中")


def test_a_button_of_the_page_leads_back_to_it(page: Page, gold: GoldSet, sockets: list[WebSocketRoute]) -> None:
    queue_hit_test(gold, command_caller("test"))
    tell(page, sockets)
    page.get_by_role("button", name="取消").click()
    expect(page.get_by_text("“周测”已取消。")).to_be_visible()
    assert page.url.endswith("/admin/dialogue/evaluationrun/")


def test_questions_are_deleted_only_by_who_means_it(page: Page, gold: GoldSet) -> None:
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="删除 周测").click()
    assert GoldSet.objects.exists()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="删除 周测").click()
    expect(page.get_by_text("已删除")).to_be_visible()
    assert not GoldSet.objects.exists()
