"""Pages and sitemaps come in, again and again: what changed, what is gone, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.documents.gone import Gone
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.ingesting import ingest
from apps.retrieval.documents.services import forget_sources, set_status
from apps.retrieval.models import Document, IngestPolicy, KnowledgeBase, SitePage
from apps.retrieval.sites.page_sources import sources_at
from apps.retrieval.sites.visiting import Visitor
from core.errors import Forbidden
from tests import sample_files
from tests.encoders import HashingEncoder
from tests.web_site import At, Site, html, leads_to, sitemap, sitemap_index, web_site

Read = Callable[..., IngestReport]
pytestmark = pytest.mark.usefixtures("near_sites")
ANIMALS = ("walrus", "heron", "badger")


@pytest.fixture
def site() -> Iterator[Site]:
    """A site of three pages and a sitemap."""
    with web_site() as site:
        site.pages = {f"/{name}": html(name.title(), f"A {name} lives here.", etag=f'"{name}-1"') for name in ANIMALS}
        site.pages["/sitemap.xml"] = sitemap(*(f"{site.root}/{name}" for name in ANIMALS))
        yield site


@pytest.fixture
def read(kb: KnowledgeBase, admin_caller: Caller) -> Read:
    """Ingests addresses into `kb`."""

    def ingest_urls(*urls: str, gone: str = "keep", caller: Caller = admin_caller) -> IngestReport:
        return ingest(kb, sources_at(kb, urls, Visitor()), caller, gone=Gone(gone))

    return ingest_urls


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.bad_count


def told(report: IngestReport) -> dict[str, str]:
    """The last part of each address that the report names, with its code."""
    return {item.place.rpartition("/")[2]: item.code for item in report.items}


def statuses() -> dict[str, str]:
    return {id.rpartition("/")[2]: status for id, status in Document.objects.values_list("external_id", "status")}


def test_a_page_is_a_document_at_its_address(read: Read, site: Site) -> None:
    assert counts(read(f"{site.root}/walrus#part")) == (1, 0, 0, 0)
    document = Document.objects.get()
    assert (document.external_id, document.url, document.title) == (f"{site.root}/walrus", f"{site.root}/walrus", "Walrus")
    assert document.text.startswith("A walrus lives here.")
    assert (document.media_type, document.language) == ("text/html", "en")


def test_a_sitemap_is_as_many_documents_as_it_names(read: Read, site: Site) -> None:
    assert counts(read(f"{site.root}/sitemap.xml")) == (3, 0, 0, 0)
    assert set(statuses()) == set(ANIMALS)


def test_the_second_time_only_what_changed_is_sent_and_read(read: Read, site: Site, encoder: HashingEncoder) -> None:
    read(f"{site.root}/sitemap.xml")
    encoded = encoder.texts_encoded
    site.forget()
    assert counts(read(f"{site.root}/sitemap.xml")) == (0, 0, 3, 0)
    assert [status for path, status in site.asked if path[1:] in ANIMALS] == [304, 304, 304]
    assert encoder.texts_encoded == encoded
    site.pages["/heron"] = html("Heron", "A heron lived here.", etag='"heron-2"')
    assert counts(read(f"{site.root}/sitemap.xml")) == (0, 1, 2, 0)
    assert "lived" in Document.objects.get(external_id__endswith="heron").text


def test_a_page_without_versions_costs_a_hash(read: Read, site: Site, encoder: HashingEncoder) -> None:
    site.pages["/walrus"] = html("Walrus", "A walrus lives here.")
    read(f"{site.root}/walrus")
    encoded = encoder.texts_encoded
    assert counts(read(f"{site.root}/walrus")) == (0, 0, 1, 0)
    assert encoder.texts_encoded == encoded


def test_another_policy_reads_again_what_did_not_change(read: Read, site: Site, kb: KnowledgeBase) -> None:
    read(f"{site.root}/sitemap.xml")
    IngestPolicy.objects.create(kb=kb, block_words=True, blocked_words="heron")
    report = read(f"{site.root}/sitemap.xml")
    assert told(report) == {"heron": "blocked_word"}
    assert statuses() == {"walrus": "published", "heron": "archived", "badger": "published"}


def test_a_deleted_document_comes_back_though_its_page_did_not_change(read: Read, site: Site) -> None:
    read(f"{site.root}/walrus")
    Document.objects.all().delete()
    assert counts(read(f"{site.root}/walrus")) == (1, 0, 0, 0)


def test_indexes_of_sitemaps_are_followed_gzipped_ones_too(read: Read, site: Site) -> None:
    packed = gzip.compress(sitemap("/heron", f"{site.root}/badger").body)
    site.pages["/sitemap.xml"] = sitemap_index(
        f"{site.root}/1.xml", f"{site.root}/2.xml.gz", f"{site.root}/1.xml", f"{site.root}/sitemap.xml"
    )
    site.pages["/1.xml"] = sitemap(f"{site.root}/walrus")
    site.pages["/2.xml.gz"] = At(packed, headers={"Content-Type": "application/x-gzip"})
    assert counts(read(f"{site.root}/sitemap.xml")) == (3, 0, 0, 0)
    assert site.paths.count("/1.xml") == 1


def test_each_address_that_is_not_taken_is_named_with_the_reason(read: Read, site: Site) -> None:
    elsewhere = site.root.replace("127.0.0.1", "localhost")
    site.pages |= {
        "/robots.txt": At(b"User-agent: *\nDisallow: /private"),
        "/large": At(b"x" * ((1 << 20) + 1)),
        "/inside": leads_to("http://10.0.0.1/"),
        "/film": At(b"", headers={"Content-Type": "video/mp4"}),
        "/empty": At(b"<html><body></body></html>"),
        "/broken.pdf": At(b"%PDF-1.4 nothing", headers={"Content-Type": "application/pdf"}),
        "/sitemap.xml": sitemap(
            *(f"{site.root}/{name}" for name in ("walrus", "private", "large", "missing", "inside", "film", "empty", "broken.pdf")),
            f"{elsewhere}/other", "ftp://x/file",
        ),
    }  # fmt: skip
    report = read(f"{site.root}/sitemap.xml")
    assert counts(report) == (1, 0, 0, 9)
    assert told(report) == {
        "private": "robots", "large": "too_large", "missing": "not_found", "inside": "refused_address", "film": "unsupported_type",
        "empty": "no_text", "broken.pdf": "damaged", "other": "other_host", "file": "refused_address",
    }  # fmt: skip
    assert all(len(item.reason) > 20 for item in report.items)


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.csv", "a.md"])
def test_other_files_are_read_by_their_type(read: Read, site: Site, name: str) -> None:
    types = {"a.pdf": "application/pdf", "a.csv": "text/csv", "a.md": "text/plain; charset=utf-8"}
    data = sample_files.VALID[name]()
    site.pages["/file"] = At(data, headers={"Content-Type": types.get(name, "application/octet-stream")})
    site.pages[f"/{name}"] = site.pages["/file"]
    path = "file" if name != "a.md" else name
    assert counts(read(f"{site.root}/{path}")) == (1, 0, 0, 0)
    assert Document.objects.get().media_type == {"a.pdf": "application/pdf", "a.csv": "text/csv", "a.md": "text/markdown"}.get(
        name, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    )


def test_the_encoding_that_the_server_tells_counts(read: Read, site: Site) -> None:
    text = "<html><body><p>员工手册：年假十天，病假须有医生证明。</p></body></html>".encode("gbk")
    site.pages["/zh"] = At(text, headers={"Content-Type": "text/html; charset=GBK"})
    read(f"{site.root}/zh")
    assert Document.objects.get().text == "员工手册：年假十天，病假须有医生证明。"


@pytest.mark.parametrize("charset", ["idna", "undefined", "hex"])
def test_a_server_that_tells_no_encoding_of_texts_costs_nothing(read: Read, site: Site, charset: str) -> None:
    site.pages["/odd"] = At(
        "<html><body><p>年假有十天。</p></body></html>".encode(), headers={"Content-Type": f"text/html; charset={charset}"}
    )
    assert counts(read(f"{site.root}/odd")) == (1, 0, 0, 0)
    assert Document.objects.get().text == "年假有十天。"


def test_what_is_gone_is_only_reported_unless_more_was_asked_for(read: Read, site: Site) -> None:
    read(f"{site.root}/sitemap.xml")
    del site.pages["/heron"]
    report = read(f"{site.root}/sitemap.xml")
    assert (told(report), report.noted_count, statuses()["heron"]) == ({"heron": "gone"}, 1, "published")
    report = read(f"{site.root}/sitemap.xml", gone="archive")
    assert (told(report), report.dropped_count, statuses()["heron"]) == ({"heron": "gone"}, 1, "archived")
    report = read(f"{site.root}/sitemap.xml", gone="delete")
    assert (told(report), set(statuses())) == ({"heron": "gone"}, {"walrus", "badger"})


def test_a_page_that_its_sitemap_names_no_more_is_looked_at_and_stays_while_it_is_there(read: Read, site: Site) -> None:
    read(f"{site.root}/sitemap.xml")
    site.pages["/sitemap.xml"] = sitemap(f"{site.root}/walrus")
    del site.pages["/heron"]
    report = read(f"{site.root}/sitemap.xml", gone="archive")
    assert (counts(report), told(report)) == ((0, 0, 2, 0), {"heron": "gone"})
    assert statuses() == {"walrus": "published", "heron": "archived", "badger": "published"}


def heron() -> Document:
    return Document.objects.get(external_id__endswith="heron")


def gone_and_back(read: Read, site: Site) -> None:
    read(f"{site.root}/sitemap.xml")
    page = site.pages.pop("/heron")
    read(f"{site.root}/sitemap.xml", gone="archive")
    site.pages["/heron"] = page
    read(f"{site.root}/sitemap.xml")


def test_a_page_that_returns_comes_back_as_it_was(read: Read, site: Site) -> None:
    gone_and_back(read, site)
    assert statuses()["heron"] == "published"


def test_what_a_curator_archived_stays_archived(read: Read, site: Site) -> None:
    read(f"{site.root}/sitemap.xml")
    Document.objects.filter(external_id__endswith="heron").update(status="archived")
    site.pages["/heron"] = html("Heron", "A heron lived here.")
    read(f"{site.root}/sitemap.xml")
    assert statuses()["heron"] == "archived"


@pytest.mark.parametrize("was_gone", [False, True], ids=["always there", "gone once"])
def test_what_a_curator_archived_stays_archived_when_it_is_read_again(
    kb: KnowledgeBase, read: Read, site: Site, admin_caller: Caller, was_gone: bool
) -> None:
    gone_and_back(read, site) if was_gone else read(f"{site.root}/sitemap.xml")
    set_status(kb, [heron()], Document.Status.ARCHIVED, admin_caller)
    assert forget_sources(kb, [heron()], admin_caller) == 1
    read(f"{site.root}/sitemap.xml", f"{site.root}/heron")
    assert (heron().status, bool(heron().source_sha256)) == ("archived", True)


def test_a_page_that_is_gone_and_that_a_curator_archives_does_not_come_back(
    kb: KnowledgeBase, read: Read, site: Site, admin_caller: Caller
) -> None:
    read(f"{site.root}/sitemap.xml")
    page = site.pages.pop("/heron")
    read(f"{site.root}/sitemap.xml", gone="archive")
    assert set_status(kb, [heron()], Document.Status.ARCHIVED, admin_caller) == 1
    site.pages["/heron"] = page
    read(f"{site.root}/sitemap.xml", f"{site.root}/heron")
    assert heron().status == "archived"


def test_a_page_that_is_read_again_while_it_is_gone_comes_back_with_it(
    kb: KnowledgeBase, read: Read, site: Site, admin_caller: Caller
) -> None:
    read(f"{site.root}/sitemap.xml")
    page = site.pages.pop("/heron")
    read(f"{site.root}/sitemap.xml", gone="archive")
    forget_sources(kb, [heron()], admin_caller)
    site.pages["/heron"] = page
    report = read(f"{site.root}/sitemap.xml", caller=Caller(name="user:2", role=AccessRole.EDITOR))
    assert [item.reason for item in report.items] == ["Its page is there again: it waits for a reviewer."]
    assert heron().status == "in_review"


def test_a_site_that_fails_takes_nothing_out(read: Read, site: Site) -> None:
    read(f"{site.root}/sitemap.xml")
    for status in (500, 403, 503):
        site.pages |= {f"/{name}": At(b"", status, {"Retry-After": "0"}) for name in ANIMALS}
        read(f"{site.root}/sitemap.xml", gone="delete")
    site.pages["/sitemap.xml"] = At(b"", 404)
    read(f"{site.root}/sitemap.xml", gone="delete")
    assert set(statuses().values()) == {"published"} and len(statuses()) == 3


def test_who_may_not_publish_may_not_have_pages_taken_out(read: Read, site: Site) -> None:
    with pytest.raises(Forbidden):
        read(f"{site.root}/walrus", gone="archive", caller=Caller(name="user:2", role=AccessRole.EDITOR))
    assert site.asked == []


def test_so_many_pages_and_no_more(read: Read, site: Site, near_sites: Callable[..., None]) -> None:
    near_sites(site_max_pages=2)
    report = read(f"{site.root}/sitemap.xml")
    assert (counts(report), told(report)) == ((2, 0, 0, 1), {"sitemap.xml": "too_many"})


def test_a_run_that_is_stopped_goes_on_where_it_ended(kb: KnowledgeBase, read: Read, site: Site, admin_caller: Caller) -> None:
    def stopped() -> Iterator[object]:
        for number, source in enumerate(sources_at(kb, [f"{site.root}/sitemap.xml"], Visitor())):
            if number == 2:
                raise KeyboardInterrupt
            yield source

    with pytest.raises(KeyboardInterrupt):
        ingest(kb, stopped(), admin_caller)  # type: ignore[arg-type]
    assert (Document.objects.count(), SitePage.objects.count()) == (0, 3)
    assert counts(read(f"{site.root}/sitemap.xml")) == (3, 0, 0, 0)


def test_the_command_takes_addresses_and_tells_what_became_of_them(kb: KnowledgeBase, site: Site) -> None:
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError):
        call_command("ingest", "--kb", "hr", f"{site.root}/sitemap.xml", f"{site.root}/missing", stdout=out, stderr=err)
    assert out.getvalue() == "3 created, 0 updated, 0 unchanged, 0 left out, 1 bad.\n"
    assert err.getvalue().splitlines()[0] == f"{site.root}/missing: There is no such page (status 404)."
    del site.pages["/heron"]
    call_command("ingest", "--kb", "hr", "--gone", "archive", f"{site.root}/sitemap.xml", stdout=out, stderr=err)
    assert statuses()["heron"] == "archived"
