"""The panel's page of jobs in Chromium: bars move as the socket tells, a job that ends is seen without a reload, cancel works."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from apps.accounts.commands import command_caller
from apps.accounts.models import User
from apps.retrieval.documents.ingest_jobs import queue_files
from apps.retrieval.models import KnowledgeBase
from apps.serving.models import Job
from tests.e2e.conftest import tell


@pytest.fixture
def job(transactional_db: None) -> Job:
    kb = KnowledgeBase.objects.create(slug="hr", name="员工手册")
    waiting = queue_files(kb, [("年假.txt", io.BytesIO(b"x" * 1000))], command_caller("test"))
    Job.objects.filter(pk=waiting.pk).update(state=Job.State.RUNNING, done=100, step="reading", lease_owner="other:1:x:y")
    return Job.objects.get(pk=waiting.pk)


@pytest.fixture
def page(job: Job, sockets: list[WebSocketRoute], screen: Page, sign_in: Callable[[Page, str, str], None]) -> Page:
    """The page of jobs, opened by an administrator; its socket ends here."""
    User.objects.create_user("ada", password="secret", is_staff=True, role="admin")
    sign_in(screen, "/admin/serving/jobs/", "ada")
    expect(screen.get_by_text("年假.txt", exact=True)).to_be_visible()
    return screen


def test_the_bar_moves_and_the_end_is_seen_without_a_reload(page: Page, sockets: list[WebSocketRoute]) -> None:
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "10")
    page.evaluate("document.body.dataset.kept = 'yes'")
    tell(page, sockets, percent=55.5, eta_s=240)
    expect(bar).to_have_attribute("aria-valuenow", "56")
    expect(page.get_by_text("约剩 4 分钟")).to_be_visible()
    Job.objects.update(state=Job.State.DONE, lease_owner="")
    tell(page, sockets)
    expect(page.locator("[data-state=done]")).to_be_visible()
    assert page.evaluate("document.body.dataset.kept") == "yes"
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


def test_what_came_of_a_job_appears_while_it_runs(page: Page, sockets: list[WebSocketRoute]) -> None:
    """The page was opened before the job had come to anything."""
    expect(page.get_by_role("link", name="报告")).to_be_hidden()
    Job.objects.update(result={"ingestion": 1, "created": 3})
    tell(page, sockets)
    expect(page.get_by_role("link", name="报告")).to_be_visible()
    tell(page, sockets, result={"ingestion": 1, "created": 8})
    expect(page.locator("[data-count=created]")).to_have_text("8")


def test_the_button_cancels(page: Page) -> None:
    page.get_by_role("button", name="取消").click()
    expect(page.get_by_text("“年假.txt”将在数秒内结束。")).to_be_visible()
    assert Job.objects.get().cancel_requested
