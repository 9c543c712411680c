"""The panel's page of models in Chromium: a worker that comes is seen without a reload, on a desktop and on a phone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis
from playwright.sync_api import Page, expect

from apps.accounts.models import User
from core.worker_registry import ServedModel, WorkerRecord, write_worker
from tests.inference_workers import redis_url

ENCODER = ServedModel(
    role="encoder", model_id="multilingual-e5-small@1571fc982750-90ab12cd", waiting=12, mean_batch=27.4, p95_ms=38.2, requests=4711, batches=812, texts=18342,
)  # fmt: skip
RERANKER = ServedModel(
    role="reranker", model_id="late-interaction:multilingual-e5-small@1571fc982750-90ab12cd", waiting=0, mean_batch=0.0, p95_ms=61.0, requests=310, batches=0, texts=0,
)  # fmt: skip


def record(host: str) -> WorkerRecord:
    now = time.time()
    return WorkerRecord(
        id=host, host=host, pid=4711, device="cpu", memory_mb=913, device_memory_mb=0, concurrency=32, running=3,
        models=(ENCODER, RERANKER), started_at=now - 7260, heartbeat_at=now,
    )  # fmt: skip


@pytest.fixture
def url(configure: Callable[..., None]) -> str:
    """A Redis database of this test's in which one worker is alive."""
    own = redis_url(4)
    configure(redis_url=own, encoder_backend="workers.remote.RemoteEncoder", reranker_backend="workers.remote.RemoteReranker")
    with redis.Redis.from_url(own) as client:
        write_worker(client, record("machine-1"))
    return own


@pytest.fixture
def page(url: str, transactional_db: None, screen: Page, sign_in: Callable[[Page, str, str], None]) -> Page:
    """The page of models, opened by an administrator."""
    User.objects.create_user("ada", password="secret", is_staff=True, role="admin")
    sign_in(screen, "/admin/serving/models/", "ada")
    expect(screen.get_by_role("heading", name="模型与工作进程")).to_be_visible()
    return screen


def test_a_worker_that_comes_is_seen_without_a_reload(page: Page, url: str) -> None:
    expect(page.get_by_text("machine-1")).to_be_visible()
    page.evaluate("document.body.dataset.kept = 'yes'")
    with redis.Redis.from_url(url) as client:
        write_worker(client, replace(record("machine-2"), id="other"))
    expect(page.get_by_text("machine-2")).to_be_visible(timeout=15_000)
    assert page.evaluate("document.body.dataset.kept") == "yes"
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
