"""The panel's page of jobs: what each reader sees there, and what the buttons do."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.accounts.commands import command_caller
from apps.retrieval.documents.ingest_jobs import queue_files
from apps.retrieval.models import Ingestion, KnowledgeBase
from apps.serving.jobs.files import folder_of
from apps.serving.jobs.run import CANCELLED
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from tests.jobs import run_to_the_end
from tests.panel import SignIn

pytestmark = pytest.mark.django_db
PAGE = "/admin/serving/jobs/"


def queue(kb: KnowledgeBase, name: str, data: bytes = b"A walrus lives here.") -> Job:
    return queue_files(kb, [(name, io.BytesIO(data))], command_caller("test"))


def test_readers_see_the_jobs_of_their_bases(kb: KnowledgeBase, other_kb: KnowledgeBase, sign_in: SignIn) -> None:
    queue(kb, "ours.txt")
    queue(other_kb, "theirs.txt")
    page = sign_in("viewer").get(PAGE).content.decode()
    assert "ours.txt" in page and "theirs.txt" not in page and "Cancel" not in page
    everything = sign_in("admin", everywhere=True).get(f"{PAGE}?part=1&kb=other").content.decode()
    assert "theirs.txt" in everything and "ours.txt" not in everything and "<html" not in everything
    assert sign_in("asker").get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302


def test_a_job_that_is_done_leads_to_its_report(kb: KnowledgeBase, sign_in: SignIn) -> None:
    job = queue(kb, "ours.txt")
    run_to_the_end(JobRunner(0))
    job.refresh_from_db()
    client = sign_in("viewer")
    address = f"/admin/retrieval/ingestion/{job.result['ingestion']}/change/"
    assert f'href="{address}"' in client.get(PAGE).content.decode()
    assert client.get(address).status_code == 200


def test_buttons_cancel_and_try_again(kb: KnowledgeBase, sign_in: SignIn) -> None:
    waiting, failed = queue(kb, "waiting.txt"), queue(kb, "failed.txt")
    Job.objects.filter(pk=failed.pk).update(state=Job.State.FAILED, error="It broke.")
    client = sign_in("editor")
    assert "It broke." in client.get(f"{PAGE}?state=failed").content.decode()
    page = client.post(PAGE, {"job": waiting.pk, "do": "cancel"}, follow=True).content.decode()
    assert "“waiting.txt” is cancelled." in page
    client.post(PAGE, {"job": failed.pk, "do": "retry"})
    assert dict(Job.objects.values_list("title", "state")) == {"waiting.txt": "cancelled", "failed.txt": "queued"}


def test_a_failed_job_can_be_given_up(kb: KnowledgeBase, sign_in: SignIn) -> None:
    job = queue(kb, "failed.txt")
    Job.objects.update(state=Job.State.FAILED, error="It broke.")
    client = sign_in("editor")
    assert "Give up" in client.get(PAGE).content.decode()
    page = client.post(PAGE, {"job": job.pk, "do": "cancel"}, follow=True).content.decode()
    assert "“failed.txt” is cancelled." in page and "Give up" not in page and not folder_of(job).exists()


@pytest.mark.parametrize(
    ("language", "outcome", "sentence"),
    [("en", "Cancelled", "It was cancelled. What was read until then is in"), ("zh-hans", "已取消", "已取消。取消前读取的内容已入库")],
)
def test_the_report_of_a_cancelled_job_says_so(kb: KnowledgeBase, sign_in: SignIn, language: str, outcome: str, sentence: str) -> None:
    run = Ingestion.objects.create(kb=kb, created=7, error=CANCELLED, finished_at=timezone.now())
    client = sign_in("viewer")
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    assert outcome in client.get("/admin/retrieval/ingestion/").content.decode()
    report = client.get(f"/admin/retrieval/ingestion/{run.pk}/change/").content.decode()
    assert sentence in report and "panel-bad" not in report and "Every source" not in report and "所有来源" not in report


def test_who_may_not_edit_changes_nothing(kb: KnowledgeBase, other_kb: KnowledgeBase, sign_in: SignIn) -> None:
    job = queue(kb, "ours.txt")
    page = sign_in("viewer").post(PAGE, {"job": job.pk, "do": "cancel"}, follow=True).content.decode()
    assert "Your role may not edit in this knowledge base." in page
    assert sign_in("editor", base=other_kb).post(PAGE, {"job": job.pk, "do": "cancel"}).status_code == 404
    editor = sign_in("editor")
    for bad in ("", "x", "9" * 30, "-1"):
        assert editor.post(PAGE, {"job": bad, "do": "cancel"}).status_code == 404
    assert Job.objects.get().state == "queued"


def test_a_button_leads_back_to_the_page_that_it_stood_on_and_nowhere_else(kb: KnowledgeBase, sign_in: SignIn) -> None:
    job = queue(kb, "ours.txt")
    client, upload = sign_in("editor"), "/admin/retrieval/document/upload/?kb=hr"
    assert f'name="back" value="{upload}"' in client.get(f"{upload}&part=1").content.decode()
    assert client.post(PAGE, {"job": job.pk, "do": "cancel", "back": upload})["Location"] == upload
    for elsewhere in ("https://example.com/", "//example.com/", "/\\example.com", "javascript:alert(1)"):
        assert client.post(PAGE, {"job": job.pk, "do": "cancel", "back": elsewhere})["Location"] == PAGE


def test_pages_that_take_sources_show_what_is_read_now_and_lately(kb: KnowledgeBase, other_kb: KnowledgeBase, sign_in: SignIn) -> None:
    queue(kb, "ours.txt")
    queue(other_kb, "theirs.txt")
    long_ago = queue(kb, "old.txt")
    Job.objects.filter(pk=long_ago.pk).update(state=Job.State.DONE, finished_at=timezone.now() - timedelta(hours=1))
    for page in ("upload", "addresses"):
        part = sign_in("editor").get(f"/admin/retrieval/document/{page}/?part=1").content.decode()
        assert "ours.txt" in part and "theirs.txt" not in part and "old.txt" not in part and "<html" not in part


def test_the_report_of_a_job_that_works_follows_it(kb: KnowledgeBase, sign_in: SignIn) -> None:
    job, run = queue(kb, "ours.txt"), Ingestion.objects.create(kb=kb, created=7)
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING, result={"ingestion": run.pk})
    client, address = sign_in("viewer"), f"/admin/retrieval/ingestion/{run.pk}/change/"
    assert f'data-only="{job.pk}"' in client.get(address).content.decode()
    part = client.get(f"{address}?part=1").content.decode()
    assert f'data-job="{job.pk}"' in part and ">7<" in part and "<html" not in part
    Ingestion.objects.update(finished_at=timezone.now())
    assert "data-job" not in client.get(f"{address}?part=1").content.decode()


def test_odd_queries_show_the_page(kb: KnowledgeBase, sign_in: SignIn) -> None:
    client = sign_in("admin", everywhere=True)
    for query in ("state=odd", "page=x", "page=999", "kb=none", "kb=%00"):
        assert client.get(f"{PAGE}?{query}").status_code == 200, query
