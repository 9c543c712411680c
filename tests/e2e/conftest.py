"""What do browser tests share? A headless Chromium for each module, its pages on a desktop and on a phone, and how people sign in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, WebSocketRoute, sync_playwright
from pytest_django.live_server_helper import LiveServer

from apps.serving.jobs.progress import as_dict
from apps.serving.models import Job


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own. A machine that has neither skips the tests and says so.

    Playwright keeps an event loop running in the test's own thread: Django must be told that this is no asynchronous
    code, and asynchronous tests of other modules need the loop gone.
    """
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            pytest.skip(f"needs Chromium (`playwright install chromium`, or a package of the system): {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def quick_passwords(quick_passwords: None) -> None:
    """For everybody who signs in with a browser."""


@pytest.fixture(params=[(1440, 900), (390, 844)], ids=["desktop", "phone"])
def screen(request: pytest.FixtureRequest, chromium: Browser, live_server: LiveServer) -> Iterator[Page]:
    """An empty page in Chinese, once as wide as a desktop's and once as a phone's."""
    width, height = request.param
    context = chromium.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": width, "height": height})
    yield context.new_page()
    context.close()


@pytest.fixture
def sockets(screen: Page) -> list[WebSocketRoute]:
    """The sockets that a page follows jobs with: they end here, and say what `tell` has them say."""
    opened: list[WebSocketRoute] = []
    screen.route_web_socket("**/ws/jobs/", lambda socket: opened.append(socket))  # a function of ours: Playwright marks it
    return opened


def tell(page: Page, sockets: list[WebSocketRoute], **changed: object) -> None:
    """What the socket says of the only job."""
    while not sockets:
        page.wait_for_timeout(20)
    sockets[-1].send(json.dumps({"type": "jobs", "jobs": [{**as_dict(Job.objects.get()), "kb": "hr", **changed}]}))


@pytest.fixture
def sign_in() -> Callable[[Page, str, str], None]:
    """Opens a page of the panel as somebody whose password is `secret`: `sign_in(page, "/admin/", "rita")`."""

    def type_in(page: Page, path: str, name: str) -> None:
        page.goto(path)
        page.get_by_label("用户名").fill(name)
        page.locator("#id_password").fill("secret")
        page.get_by_role("button", name="登录").click()

    return type_in
