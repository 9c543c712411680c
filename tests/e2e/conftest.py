"""What do browser tests share? A headless Chromium for each module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright


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
