"""What becomes of the document of a page that is gone? What the user asked for; never is anything taken away in silence."""

from __future__ import annotations

from enum import StrEnum

from apps.accounts.permissions import Caller
from apps.retrieval.documents.incoming import GoneSource
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.services import delete_documents
from apps.retrieval.documents.withdrawals import withdraw
from apps.retrieval.models import Document, KnowledgeBase, SitePage, Withdrawal


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
        withdraw(kb, source.id, caller, Withdrawal.Reason.GONE)
        report.drop(source.place, "gone", f"{source.problem} Its document was archived.")
    else:
        report.note(source.place, "gone", f"{source.problem} Its document stays; --gone archive or --gone delete takes it out.")
