"""What is known of a page of the web since it last came in, and of those that a sitemap named?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apps.retrieval.documents.sources import file_id
from apps.retrieval.models import Document, KnowledgeBase, SitePage
from apps.retrieval.sites.visiting import Validators

_STEP = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPage:
    """A page that is in: the version that is known and the hash of its content."""

    validators: Validators
    content_sha256: str


def known_page(kb: KnowledgeBase, id: str) -> KnownPage | None:
    """What is known of the page that is the document of this id, None where there is no such document."""
    record = SitePage.objects.filter(kb=kb, external_id=id).first()
    if record is None or not Document.objects.filter(kb=kb, external_id=id).exists():
        return None
    return KnownPage(
        validators=Validators(etag=record.etag, last_modified=record.last_modified),
        content_sha256=record.content_sha256,
    )


def remember_page(kb: KnowledgeBase, id: str, url: str, *, validators: Validators, content_sha256: str) -> None:
    """Notes the version of a page that was fetched now."""
    said = {"url": url, "etag": validators.etag, "last_modified": validators.last_modified, "content_sha256": content_sha256}
    SitePage.objects.update_or_create(kb=kb, external_id=id, defaults=said)


def note_sitemap(kb: KnowledgeBase, id: str, sitemap: str) -> None:
    """Notes which sitemap named a page; one asked for by itself stays with the sitemap that named it before."""
    if sitemap:
        SitePage.objects.filter(kb=kb, external_id=id).exclude(sitemap=file_id(sitemap)).update(sitemap=file_id(sitemap))


def pages_named_before(kb: KnowledgeBase, sitemap: str) -> Iterator[str]:
    """The addresses of pages with a document that this sitemap named when it came in before."""
    last = 0
    while rows := list(
        SitePage.objects.filter(kb=kb, sitemap=file_id(sitemap), pk__gt=last).order_by("pk").values_list("pk", "url", "external_id")[:_STEP]
    ):
        last = rows[-1][0]
        there = Document.objects.filter(kb=kb, external_id__in=[id for _, _, id in rows]).order_by()
        ids = set(there.exclude(status=Document.Status.ARCHIVED).values_list("external_id", flat=True))
        yield from (url for _, url, id in rows if id in ids)
