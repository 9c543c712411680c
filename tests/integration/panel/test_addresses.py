"""The panel's page for addresses: pasted, judged one by one, fetched by a job that the page of jobs shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse

from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.sites.site_jobs import MAX_URLS
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from tests.jobs import run_to_the_end
from tests.panel import SignIn
from tests.web_site import Site, html, sitemap, web_site

PAGE = "/admin/retrieval/document/addresses/"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("near_sites")]


@pytest.fixture
def site() -> Iterator[Site]:
    """A site with a sitemap of three pages, one of which robots.txt closes."""
    with web_site() as site:
        site.pages = {f"/{name}": html(name.title(), f"A {name} lives here.") for name in ("walrus", "heron", "private")}
        site.pages["/robots.txt"] = html("", "")
        site.pages["/robots.txt"].body = b"User-agent: *\nDisallow: /private"
        site.pages["/sitemap.xml"] = sitemap(*(f"{site.root}/{name}" for name in ("walrus", "heron", "private")))
        yield site


def paste(client: Client, kb: KnowledgeBase, *lines: str, **fields: str) -> object:
    return client.post(PAGE, {"kb": kb.pk, "urls": "\r\n".join(lines), **fields}, follow=True)


def refusals(answer: object) -> list[str]:
    return list(answer.context["form"].errors["urls"])  # type: ignore[attr-defined]


def test_a_sitemap_is_pasted_fetched_by_a_job_and_reported(sign_in: SignIn, kb: KnowledgeBase, site: Site) -> None:
    client = sign_in("editor")
    answer = paste(client, kb, f"{site.root}/sitemap.xml", "", f"{site.root}/missing")
    assert answer.redirect_chain[-1][0] == f"{reverse('jobs-page')}?kb=hr"  # type: ignore[attr-defined]
    assert f"Fetched in the background: {site.root}/sitemap.xml and 1 more address." in answer.content.decode()  # type: ignore[attr-defined]
    assert "Cancel" in answer.content.decode()  # type: ignore[attr-defined]
    run_to_the_end(JobRunner(0, slice_s=0.0))
    job = Job.objects.get()
    assert (job.kind, job.state, job.result["created"], job.result["bad"]) == ("ingest_sites", "done", 2, 2)
    assert sorted(document.title for document in Document.objects.all()) == ["Heron", "Walrus"]
    report = client.get(reverse("admin:retrieval_ingestion_change", args=[job.result["ingestion"]])).content.decode()
    assert "robots.txt forbids it" in report and "no such page" in report


def test_the_report_speaks_chinese_too(sign_in: SignIn, kb: KnowledgeBase, site: Site) -> None:
    client = sign_in("editor", language="zh-hans")
    paste(client, kb, f"{site.root}/private", f"{site.root}/missing")
    run_to_the_end(JobRunner(0, slice_s=0.0))
    report = client.get(reverse("admin:retrieval_ingestion_change", args=[Job.objects.get().result["ingestion"]])).content.decode()
    assert "robots.txt 不允许抓取。" in report and "没有这个网页（状态码 404）。" in report


def test_each_line_that_is_no_address_is_named_with_its_reason_and_nothing_is_queued(sign_in: SignIn, kb: KnowledgeBase) -> None:
    answer = paste(sign_in("editor"), kb, "https://example.com/", "example.org/help", "http://10.0.0.1/x", "<b>", "no address")
    assert refusals(answer) == [
        "example.org/help — It must begin with https:// or http://.",
        "http://10.0.0.1/x — 10.0.0.1 is no public address; QA_PRIVATE_HOSTS lists the hosts of your own network that may be reached.",
        "<b> — It must begin with https:// or http://.",
        "no address — It must begin with https:// or http://.",
    ]
    assert "&lt;b&gt; —" in answer.content.decode() and "https://example.com/" in answer.content.decode()  # type: ignore[attr-defined]
    assert not Job.objects.exists()


def test_what_is_wrong_is_said_in_chinese_and_long_lists_are_cut(sign_in: SignIn, kb: KnowledgeBase) -> None:
    answer = paste(sign_in("editor", language="zh-hans"), kb, *(f"page{number}" for number in range(30)))
    assert refusals(answer)[0] == "page0 — 必须以 https:// 或 http:// 开头。"
    assert refusals(answer)[-1] == "……另有 10 个"
    answer = paste(sign_in("editor"), kb, *(f"https://example.com/{number}" for number in range(MAX_URLS + 1)))
    assert refusals(answer)[0].startswith(f"These are {MAX_URLS + 1} addresses; at most {MAX_URLS}")


def test_taking_pages_out_is_offered_to_who_may_publish(sign_in: SignIn, kb: KnowledgeBase) -> None:
    editor, reviewer = sign_in("editor"), sign_in("reviewer")
    assert "gone" not in editor.get(PAGE).context["form"].fields
    paste(editor, kb, "https://example.com/", gone="delete")
    paste(reviewer, kb, "https://example.com/", gone="archive")
    assert list(Job.objects.order_by("pk").values_list("payload__gone", flat=True)) == ["keep", "archive"]


def test_a_base_of_others_is_none_that_pages_go_into(sign_in: SignIn, kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    answer = paste(sign_in("editor"), other, "https://example.com/")
    assert "kb" in answer.context["form"].errors and not Job.objects.exists()  # type: ignore[attr-defined]
    assert sign_in("viewer").get(PAGE).status_code == 403


def test_the_list_leads_to_both_pages_and_they_to_each_other(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("editor")
    assert client.get("/admin/retrieval/document/pages/?kb=hr").headers["location"] == f"{PAGE}?kb=hr"
    page = client.get(f"{PAGE}?kb=hr").content.decode()
    assert "/admin/retrieval/document/upload/?kb=hr" in page and 'aria-current="page">Web pages' in page
