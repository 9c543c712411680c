"""What becomes of a document that the policy no longer lets in, or whose page is gone? It is archived, and comes back when it may.

What a person archived stays archived, whatever the policy and the page do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from django.db import transaction

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.drafts import drafts_of
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.screening import PlacedDraft
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import Document, KnowledgeBase, Withdrawal
from apps.retrieval.outbox.follower import follower

ARCHIVED, PUBLISHED, IN_REVIEW = Document.Status.ARCHIVED, Document.Status.PUBLISHED, Document.Status.IN_REVIEW
RESTORED = "restored"
_WHY_BACK: Mapping[str, str] = {
    Withdrawal.Reason.POLICY: "The policy that had archived it lets it in now",
    Withdrawal.Reason.GONE: "Its page is there again",
}


def withdraw(kb: KnowledgeBase, id: str, caller: Caller, reason: Withdrawal.Reason) -> bool:
    """Archives the document of this id and remembers what it was; False where there is none, or it is archived already.

    It is read and archived under one lock: who archives or edits it at the same moment is not overruled. Raises Forbidden where it
    is published and the caller may not withdraw it.
    """
    with transaction.atomic():
        KnowledgeBase.objects.select_for_update().get(pk=kb.pk)
        document = Document.objects.filter(kb=kb, external_id=id).exclude(status=ARCHIVED).first()
        if document is None:
            return False
        draft = drafts_of([document])[0]
        save_documents(kb, [replace(draft, row=replace(draft.row, status=str(ARCHIVED)))], caller)  # nothing of it is encoded
        Withdrawal.objects.update_or_create(document=document, defaults={"status_before": document.status, "reason": reason.value})
    follower().wake()
    return True


def restored(kb: KnowledgeBase, placed: Sequence[PlacedDraft], caller: Caller, report: IngestReport) -> list[PlacedDraft]:
    """The drafts, with those that had been withdrawn as they were before, which the report says; one query.

    What had been published waits for a reviewer where the caller may not publish. A status that a row states counts for more.
    """
    ids = [one.draft.row.id for one in placed if not one.draft.row.status]
    rows = Withdrawal.objects.filter(document__kb=kb, document__external_id__in=ids, document__status=ARCHIVED)
    before = {id: (was, reason) for id, was, reason in rows.values_list("document__external_id", "status_before", "reason")}
    return [_as_before(one, *before[str(one.draft.row.id)], kb, caller, report) if one.draft.row.id in before else one for one in placed]


def _as_before(one: PlacedDraft, was: str, reason: str, kb: KnowledgeBase, caller: Caller, report: IngestReport) -> PlacedDraft:
    if was == PUBLISHED and not caller.may(Permission.PUBLISH, kb.pk):
        report.note(one.place, RESTORED, f"{_WHY_BACK[reason]}: it waits for a reviewer.")
        was = str(IN_REVIEW)
    else:
        report.note(one.place, RESTORED, f"{_WHY_BACK[reason]}: it is {was} again.")
    return replace(one, draft=replace(one.draft, row=replace(one.draft.row, status=was), comes_back=True))


def withdrawal_of(document: Document) -> Withdrawal | None:
    """Why it was taken out, unless somebody has decided otherwise since."""
    return Withdrawal.objects.filter(document=document).first() if document.status == ARCHIVED else None


def withdrawn_ids(kb: KnowledgeBase, ids: Collection[str]) -> set[str]:
    """Those of these documents that were taken out: their sources are read again, changed or not."""
    rows = Withdrawal.objects.filter(document__kb=kb, document__external_id__in=ids)
    return set(rows.values_list("document__external_id", flat=True))
