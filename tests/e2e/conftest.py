"""What do browser tests share? One headless Chromium a session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

# Playwright runs an event loop in the test's own thread, which Django takes for asynchronous code; the tests are not.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own. A machine that has neither skips the tests and says so."""
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            pytest.skip(f"needs Chromium (`playwright install chromium`, or a package of the system): {error.message.splitlines()[0]}")
        yield browser
        browser.close()
