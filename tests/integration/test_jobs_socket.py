"""The socket of jobs as a dialogue: what is told at first, when a job comes further, and to whom."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from channels.db import database_sync_to_async

from apps.accounts.commands import command_caller
from apps.accounts.keys import create_key
from apps.accounts.models import ApiKey
from apps.accounts.permissions import AccessRole
from apps.retrieval.documents.ingest_jobs import queue_files
from apps.retrieval.models import KnowledgeBase
from apps.serving.jobs import consumer
from apps.serving.jobs.news import tell_change, use_loop
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from qa_project.asgi import application
from tests.jobs import run_to_the_end
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """News come at once; nobody looks without news within a test."""
    monkeypatch.setattr(consumer, "LOOK_S", 60.0)
    monkeypatch.setattr(consumer, "AT_MOST_EVERY_S", 0.0)


@database_sync_to_async
def queue(kb: KnowledgeBase, name: str = "a.txt") -> Job:
    return queue_files(kb, [(name, io.BytesIO(b"A walrus lives here."))], command_caller("test"))


@database_sync_to_async
def key(role: str, kb: KnowledgeBase | None = None) -> str:
    return create_key(name=f"{role} {kb}", role=AccessRole(role), kb_id=kb.pk if kb else None)[1]


@asynccontextmanager
async def socket(key: str = "", **headers: str) -> AsyncIterator[Socket]:
    ws = Socket(application, "/ws/jobs/", {**({"authorization": f"Bearer {key}"} if key else {}), **headers})
    await ws.open()
    use_loop(asyncio.get_running_loop())
    yield ws
    use_loop(None)
    await ws.leave()


async def test_it_tells_what_there_is_and_again_when_that_comes_further(kb: KnowledgeBase) -> None:
    job = await queue(kb)
    async with socket(await key("viewer")) as ws:
        first = await ws.receive()
        assert [(one["id"], one["kb"], one["state"]) for one in first["jobs"]] == [(job.pk, "hr", "queued")]
        await database_sync_to_async(run_to_the_end)(JobRunner(0))
        states = []
        while "done" not in states:
            states.append((await ws.receive())["jobs"][0]["state"])
        assert set(states) <= {"running", "done"}


async def test_jobs_of_other_bases_are_told_to_nobody_else(kb: KnowledgeBase) -> None:
    other = await KnowledgeBase.objects.acreate(slug="it", name="IT")
    await queue(kb)
    await queue(other, "b.txt")
    async with socket(await key("viewer", kb)) as ws:
        assert [job["title"] for job in (await ws.receive())["jobs"]] == ["a.txt"]
        await queue(other, "c.txt")
        await queue(kb, "d.txt")
        assert [job["title"] for job in (await ws.receive())["jobs"]] == ["d.txt", "a.txt"]


@pytest.mark.parametrize(("role", "code"), [("", "not_authenticated"), ("asker", "forbidden")])
async def test_who_may_read_nothing_is_told_so(kb: KnowledgeBase, role: str, code: str) -> None:
    async with socket(await key(role) if role else "") as ws:
        assert (await ws.receive())["error"]["code"] == code
        assert await ws.close_code() == 4403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "here", "https://here.evil.example", "https://x@here"])
async def test_pages_of_other_origins_are_refused(kb: KnowledgeBase, origin: str) -> None:
    async with socket(await key("admin"), origin=origin, host="here") as ws:
        assert (await ws.receive())["error"]["code"] == "forbidden"
        assert await ws.close_code() == 4403


async def test_a_key_that_is_revoked_ends_its_socket_at_the_next_news(kb: KnowledgeBase) -> None:
    job = await queue(kb)
    async with socket(await key("viewer")) as ws:
        assert (await ws.receive())["type"] == "jobs"
        await ApiKey.objects.all().adelete()
        tell_change(job)
        assert (await ws.receive())["error"]["code"] == "forbidden"
        assert await ws.close_code() == 4403
