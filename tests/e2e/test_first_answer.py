"""Does a fresh server answer a person in the browser? Every real part but the encoder, whose weights this test does not wait for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FAQ = {"id": "leave", "questions": ["年假有多少天？", "带薪休假几天"], "answer": "满一年五天，满十年十天。"}


# One process for all commands: each start of Django costs seconds.
PREPARE = """
import sys, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
call_command("create_kb", "help", locale="zh")
call_command("create_bot", "help", kb=["help"], public=True)
call_command("import_faq", sys.argv[1], kb="help")
"""


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "the server ended while it started"
        try:
            urllib.request.urlopen(url + "healthz", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not start within 30 s")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with one public bot that knows one FAQ."""
    data = tmp_path_factory.mktemp("data")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environ = {**os.environ, "QA_DATA_DIR": str(data), "QA_PORT": port, "QA_ENCODER": str(data / "no-encoder")}
    (data / "faq.jsonl").write_text(json.dumps(FAQ, ensure_ascii=False) + "\n", "utf-8")
    subprocess.run([sys.executable, "-c", PREPARE, str(data / "faq.jsonl")], cwd=ROOT, env=environ, check=True)
    server = subprocess.Popen([sys.executable, "manage.py", "serve", "--no-prepare"], cwd=ROOT, env=environ)
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_until_ready(url, server)
        yield url
    finally:
        server.terminate()
        assert server.wait(20) == 0


def test_a_question_is_answered_with_its_source_and_read_again_after_a_reload(served: str, chromium: Browser) -> None:
    page = chromium.new_context(locale="zh-CN").new_page()
    page.goto(served)
    page.get_by_label("你的问题").fill("年假有多少天？")
    page.keyboard.press("Enter")
    expect(page.locator(".source-title")).to_have_text("年假有多少天？", timeout=15_000)
    page.reload()
    expect(page.locator(".turn .prose")).to_have_text(FAQ["answer"])
    expect(page.locator(".connection")).to_have_count(0)


def test_a_reader_in_english_is_told_honestly_that_nothing_fits(served: str, chromium: Browser) -> None:
    page = chromium.new_context(locale="en-US").new_page()
    page.goto(served)
    page.get_by_label("Your question").fill("How do rockets fly?")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_have_attribute("data-kind", "unanswered", timeout=15_000)
    expect(page.locator(".note").first).to_have_text("No certain answer found")
