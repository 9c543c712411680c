"""What becomes of a document that the policy no longer lets in, and when does it come back? It is archived, and comes back when it may.

What a person archived stays archived, whatever the policy says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.drafts import drafts_of
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.screening import PlacedDraft
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import Document, KnowledgeBase, Withdrawal

ARCHIVED, PUBLISHED, IN_REVIEW = Document.Status.ARCHIVED, Document.Status.PUBLISHED, Document.Status.IN_REVIEW
RESTORED = "restored"


def withdraw(kb: KnowledgeBase, id: str, caller: Caller) -> bool:
    """Archives the document of this id and remembers what it was; False where there is none, or it is archived already.

    Raises Forbidden where it is published and the caller may not withdraw it.
    """
    document = Document.objects.filter(kb=kb, external_id=id).exclude(status=ARCHIVED).first()
    if document is None:
        return False
    draft = drafts_of([document])[0]
    archived = replace(draft, row=replace(draft.row, status=str(ARCHIVED)))
    was = document.status
    save_documents(kb, [archived], caller, along=lambda saved: _remember(document, was))
    return True


def _remember(document: Document, was: str) -> None:
    Withdrawal.objects.update_or_create(document=document, defaults={"status_before": was})


def restored(kb: KnowledgeBase, placed: Sequence[PlacedDraft], caller: Caller, report: IngestReport) -> list[PlacedDraft]:
    """The drafts, with those that had been withdrawn as they were before, which the report says; one query.

    What had been published waits for a reviewer where the caller may not publish. A status that a row states counts for more.
    """
    ids = [one.draft.row.id for one in placed if not one.draft.row.status]
    rows = Withdrawal.objects.filter(document__kb=kb, document__external_id__in=ids, document__status=ARCHIVED)
    before = dict(rows.values_list("document__external_id", "status_before"))
    return [_as_before(one, before[str(one.draft.row.id)], kb, caller, report) if one.draft.row.id in before else one for one in placed]


def _as_before(one: PlacedDraft, was: str, kb: KnowledgeBase, caller: Caller, report: IngestReport) -> PlacedDraft:
    if was == PUBLISHED and not caller.may(Permission.PUBLISH, kb.pk):
        report.note(one.place, RESTORED, "The policy that had archived it lets it in now: it waits for a reviewer.")
        was = str(IN_REVIEW)
    else:
        report.note(one.place, RESTORED, f"The policy that had archived it lets it in now: it is {was} again.")
    return replace(one, draft=replace(one.draft, row=replace(one.draft.row, status=was)))


def is_withdrawn(document: Document) -> bool:
    """Whether the policy took it out, and nobody has decided otherwise since."""
    return document.status == ARCHIVED and Withdrawal.objects.filter(document=document).exists()


def withdrawn_ids(kb: KnowledgeBase, ids: Collection[str]) -> set[str]:
    """Those of these documents that the policy took out: their sources are read again, changed or not."""
    rows = Withdrawal.objects.filter(document__kb=kb, document__external_id__in=ids)
    return set(rows.values_list("document__external_id", flat=True))
