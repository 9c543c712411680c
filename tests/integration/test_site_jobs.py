"""Pages that are fetched in the background: each counted once, whoever goes on with the job."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from rest_framework.test import APIClient

from apps.accounts.commands import command_caller
from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.documents.gone import Gone
from apps.retrieval.models import Document, Ingestion, KnowledgeBase
from apps.retrieval.sites import site_jobs
from apps.retrieval.sites.site_jobs import MAX_URLS, queue_addresses
from apps.serving.jobs.files import folder_of, jobs_folder
from apps.serving.jobs.runner import JobRunner
from apps.serving.jobs.services import cancel_job
from apps.serving.models import Job
from core.errors import Forbidden, InvalidRequest
from tests.jobs import age_leases, run_to_the_end
from tests.web_site import Exchange, Site, html, sitemap, web_site

pytestmark = pytest.mark.django_db
COUNT = 8
INGESTIONS = "/api/v1/kbs/hr/ingestions/"


@pytest.fixture(autouse=True)
def small_pieces(near_sites: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is a piece of its own."""
    monkeypatch.setattr(site_jobs, "PIECE_S", 0.0)
    shutil.rmtree(jobs_folder(), ignore_errors=True)


@pytest.fixture
def site() -> Iterator[Site]:
    """A site of some pages and a sitemap, and a page beside them."""
    with web_site() as site:
        site.pages = {
            f"/{number}": html(f"Page {number}", f"Walrus {number} lives in house {number}.", etag=f'"{number}"') for number in range(COUNT)
        }
        site.pages["/sitemap.xml"] = sitemap(*(f"{site.root}/{number}" for number in range(COUNT)), f"{site.root}/missing")
        site.pages["/alone"] = html("Alone", "A heron lives alone.")
        yield site


@pytest.fixture
def admin() -> Caller:
    """Whoever runs commands, whose rights do not go."""
    return command_caller("test")


def runner() -> JobRunner:
    return JobRunner(0, slice_s=0.0)


def counts(job: Job) -> tuple[int, int, int, int]:
    job.refresh_from_db()
    return tuple(int(str(job.result[name])) for name in ("created", "updated", "unchanged", "bad"))  # type: ignore[return-value]


def test_pages_and_sitemaps_become_documents_and_a_report(kb: KnowledgeBase, site: Site, admin: Caller) -> None:
    job = queue_addresses(kb, [f"{site.root}/alone", f"{site.root}/sitemap.xml", f"{site.root}/nothing"], Gone.KEEP, admin)
    run_to_the_end(runner())
    assert counts(job) == (COUNT + 1, 0, 0, 2)
    assert (job.state, job.step, job.done, job.total) == ("done", "finished", COUNT + 3, COUNT + 3)
    assert job.title == f"{site.root}/alone and 2 more addresses"
    report = Ingestion.objects.get(pk=job.result["ingestion"])
    assert (report.created, report.codes, report.error) == (COUNT + 1, {"not_found": 2}, "") and report.finished_at
    assert len(site.paths) == len(set(site.paths))
    assert not folder_of(job).exists()


def test_a_job_that_is_taken_over_at_every_step_fetches_and_counts_each_page_once(kb: KnowledgeBase, site: Site, admin: Caller) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    job = queue_addresses(kb, [f"{site.root}/alone", f"{site.root}/sitemap.xml"], Gone.KEEP, admin)
    waiting = [f"{site.root}/{number}" for number in range(COUNT)] * 3
    for number, url in enumerate(waiting):  # somebody always waits, so that each turn is one piece
        queue_addresses(other, [f"{url}?{number}"], Gone.KEEP, admin)
    while Job.objects.filter(state__in=Job.UNFINISHED).exists():
        runner().run_one_slice()
        age_leases()
    assert counts(job) == (COUNT + 1, 0, 0, 1) and job.state == "done"
    assert Document.objects.filter(kb=kb).count() == COUNT + 1
    assert Ingestion.objects.filter(kb=kb).count() == 1
    own = [path for path in site.paths if "?" not in path]
    assert sorted(set(own)) == sorted(own)


def test_a_lost_list_of_pages_is_made_again(kb: KnowledgeBase, site: Site, admin: Caller) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    job = queue_addresses(kb, [f"{site.root}/sitemap.xml"], Gone.KEEP, admin)
    queue_addresses(other, [f"{site.root}/alone"], Gone.KEEP, admin)
    one = runner()
    while not Document.objects.filter(kb=kb).exists():
        one.run_one_slice()
    shutil.rmtree(folder_of(job))
    age_leases()
    run_to_the_end(runner())
    job.refresh_from_db()
    assert job.state == "done" and Document.objects.filter(kb=kb).count() == COUNT


@pytest.mark.django_db(transaction=True)
def test_cancelling_leaves_a_page_that_does_not_end_and_keeps_what_is_in(kb: KnowledgeBase, site: Site, admin: Caller) -> None:
    one = runner()

    def endless(exchange: Exchange) -> None:
        cancel_job(Job.objects.get(), admin)
        one.beat()
        connection.close()
        while True:
            exchange.wfile.write(b" ")
            exchange.wfile.flush()

    site.pages["/0"] = endless
    job = queue_addresses(kb, [f"{site.root}/alone", f"{site.root}/sitemap.xml"], Gone.KEEP, admin)
    run_to_the_end(one)
    job.refresh_from_db()
    assert job.state == "cancelled" and "cancelled" in Ingestion.objects.get().error
    assert [document.title for document in Document.objects.all()] == ["Alone"]


def test_what_is_gone_is_taken_out_where_that_was_asked(kb: KnowledgeBase, site: Site, admin: Caller) -> None:
    queue_addresses(kb, [f"{site.root}/sitemap.xml"], Gone.KEEP, admin)
    run_to_the_end(runner())
    del site.pages["/3"]
    job = queue_addresses(kb, [f"{site.root}/sitemap.xml"], Gone.ARCHIVE, admin)
    run_to_the_end(runner())
    assert counts(job) == (0, 0, COUNT - 1, 1) and job.result["dropped"] == 1
    assert Document.objects.get(status="archived").external_id == f"{site.root}/3"


@pytest.mark.parametrize("urls", [[], ["file:///etc/passwd"], ["https://"], ["x"], [7], ["https://example.com/"] * (MAX_URLS + 1)])
def test_what_is_no_list_of_addresses_is_refused(kb: KnowledgeBase, admin: Caller, urls: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        queue_addresses(kb, urls, Gone.KEEP, admin)
    assert not jobs_folder().exists() and not Job.objects.exists()


def test_each_address_that_cannot_be_used_is_named(kb: KnowledgeBase, admin: Caller) -> None:
    bad = [f"x{number}" for number in range(7)]
    with pytest.raises(InvalidRequest) as refused:
        queue_addresses(kb, ["https://example.com/", *bad, "http://10.0.0.1/"], Gone.KEEP, admin)
    assert refused.value.message.startswith("8 of 9 addresses cannot be used: x0: It must begin with https:// or http://. x1: It must")
    assert refused.value.message.endswith("… and 3 more")
    assert [str(text).partition(": ")[0] for text in refused.value.details["refused"]] == [*bad, "http://10.0.0.1/"]  # type: ignore[union-attr]


def test_taking_pages_out_needs_the_right_to_publish(kb: KnowledgeBase) -> None:
    with pytest.raises(Forbidden):
        queue_addresses(kb, ["https://example.com/"], Gone.DELETE, Caller(name="user:2", role=AccessRole.EDITOR))


def test_the_command_queues_addresses(kb: KnowledgeBase, site: Site) -> None:
    out = StringIO()
    call_command("ingest", "--kb", "hr", "--background", f"{site.root}/alone", stdout=out)
    assert out.getvalue() == f"Job {Job.objects.get().pk} is queued: {site.root}/alone.\n"
    run_to_the_end(runner())
    assert Document.objects.get().title == "Alone"


def test_the_command_queues_nothing_where_one_address_is_none(kb: KnowledgeBase, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A heron lives alone.")
    with pytest.raises(CommandError, match="cannot be used: https://me@x/"):
        call_command("ingest", "--kb", "hr", "--background", str(tmp_path), "https://example.com/", "https://me@x/")
    assert not Job.objects.exists()


def test_addresses_are_sent_over_http_and_fetched_in_the_background(api: APIClient, kb: KnowledgeBase, site: Site) -> None:
    answer = api.post(INGESTIONS, {"urls": [f"{site.root}/sitemap.xml"]}, format="json")
    job = answer.json()
    assert (answer.status_code, job["state"], job["kind"], job["title"]) == (202, "queued", "ingest_sites", f"{site.root}/sitemap.xml")
    run_to_the_end(runner())
    after = api.get(f"/api/v1/kbs/hr/jobs/{job['id']}/").json()
    assert (after["state"], after["percent"], after["result"]["created"]) == ("done", 100.0, COUNT)
    report = api.get(f"{INGESTIONS}{after['result']['ingestion']}/").json()
    assert [(item["place"], item["code"]) for item in report["items"]] == [(f"{site.root}/missing", "not_found")]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"urls": "https://example.com"},
        {"urls": []},
        {"urls": [{}]},
        {"urls": ["https://x/"], "gone": "burn"},
        {"urls": ["https://1.1.1.1/"], "gon": "delete"},
        {"urls": ["ftp://x/"]},
    ],
)
def test_a_body_without_addresses_is_refused(api: APIClient, kb: KnowledgeBase, body: object) -> None:
    answer = api.post(INGESTIONS, body, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_taking_pages_out_over_http_needs_the_right_to_publish(client_with_role: Callable[..., APIClient], kb: KnowledgeBase) -> None:
    body = {"urls": ["https://example.com/"], "gone": "archive"}
    roles = ("viewer", "editor", "reviewer", "admin")
    assert [client_with_role(role).post(INGESTIONS, body, format="json").status_code for role in roles] == [403, 403, 202, 202]
