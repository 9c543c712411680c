"""What becomes of the document of a page that is gone? What the user asked for; never is anything taken away in silence."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from apps.accounts.permissions import Caller
from apps.retrieval.documents.drafts import drafts_of
from apps.retrieval.documents.incoming import GoneSource
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.services import delete_documents, save_documents
from apps.retrieval.models import Document, KnowledgeBase, SitePage


class Gone(StrEnum):
    """What to do with the document of a page that its server no longer has."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


def settle_gone(kb: KnowledgeBase, source: GoneSource, gone: Gone, caller: Caller, report: IngestReport) -> None:
    """Keeps, archives or deletes the document of a source that is gone, and reports that; a source without one is simply bad."""
    document = Document.objects.filter(kb=kb, external_id=source.id).first()
    if document is None:
        report.refuse(source.place, source.problem, "not_found")
    elif gone is Gone.DELETE:
        delete_documents(kb, [document], caller)
        SitePage.objects.filter(kb=kb, external_id=source.id).delete()
        report.drop(source.place, "gone", f"{source.problem} Its document was deleted.")
    elif document.status == Document.Status.ARCHIVED:
        report.drop(source.place, "gone", f"{source.problem} Its document is archived.")
    elif gone is Gone.ARCHIVE:
        _archive(kb, document, caller)
        report.drop(source.place, "gone", f"{source.problem} Its document was archived.")
    else:
        report.note(source.place, "gone", f"{source.problem} Its document stays; --gone archive or --gone delete takes it out.")


def _archive(kb: KnowledgeBase, document: Document, caller: Caller) -> None:
    """Archives it so that it comes back as it was, should the page: without the hash of a source, it will be read again."""
    SitePage.objects.filter(kb=kb, external_id=document.external_id).update(status_before=document.status)
    draft = drafts_of([document])[0]
    archived = replace(draft.row, status=str(Document.Status.ARCHIVED))
    save_documents(kb, [replace(draft, row=archived, source_sha256="")], caller)
