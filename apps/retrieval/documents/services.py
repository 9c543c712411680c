"""What can be done to documents: every change goes through here, and is findable (or gone) when it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import F

from apps.accounts.audit import first_of, record
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.drafts import Draft, drafts_of
from apps.retrieval.documents.passage_questions import hand_over_questions, hide_questions, put_questions, question_texts
from apps.retrieval.documents.passages import entry_text, facts_by_passage
from apps.retrieval.documents.save_plans import DOCUMENT_FIELDS, PLACE_FIELDS, PUBLISHED, SavePlan, plan_save
from apps.retrieval.models import Document, KnowledgeBase, Passage, Withdrawal
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.indexing import delete_entries, lock_kb, put_entries, retag_entries
from apps.retrieval.vectors.encoding import EncodedTexts, encode_in_batches
from core.errors import Forbidden
from core.types import EntryKind

_OUT_OF_THE_WAY = 1_000_000_000  # numbers of one document are unique at every moment, so those that change step aside first


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedDocuments:
    """What became of the drafts of one save, in their order."""

    documents: tuple[Document, ...]
    created: int
    updated: int
    unchanged: int


def save_documents(
    kb: KnowledgeBase,
    drafts: Sequence[Draft],
    caller: Caller,
    *,
    along: Callable[[SavedDocuments], None] = lambda saved: None,
    check: Callable[[], None] = lambda: None,
) -> SavedDocuments:
    """Creates the documents, or replaces those whose id exists; all or nothing, and no transaction is open while the encoder works.

    Passages that stay as they are keep their entry and vector; others are replaced in the same moment. Raises Forbidden where
    the caller may not publish and the change would touch what is published. `along` writes what must be there if and only if the
    documents are: it is called in their transaction. `check` is called while the encoder works, and may raise.
    """
    caller.require(Permission.EDIT, kb.pk)
    if any(draft.row.status == PUBLISHED for draft in drafts) and not caller.may(Permission.PUBLISH, kb.pk):
        raise Forbidden("Your role may not publish: save it as `in_review`, and a reviewer will.", field="status")
    _, foreseen = plan_save(kb, drafts, caller)
    texts = [(EntryKind.PASSAGE, entry_text(passage)) for passage in foreseen.find]
    encoded = encode_in_batches(texts + question_texts(foreseen.find + foreseen.dropped_passages), check=check)
    with transaction.atomic():
        lock_kb(kb)
        documents, plan = plan_save(kb, drafts, caller)
        _write(kb, plan, encoded)
        if plan.new or plan.changed:
            record(caller, "save_documents", target=first_of(document.external_id for document in plan.new + plan.changed), kb=kb.slug)
        saved = SavedDocuments(documents=tuple(documents), created=len(plan.new), updated=len(plan.changed), unchanged=plan.unchanged)
        along(saved)
    follower().wake()
    return saved


def set_status(kb: KnowledgeBase, documents: Sequence[Document], status: Document.Status, caller: Caller) -> int:
    """Moves documents through their life cycle. Returns how many changed. Publishing and withdrawing need PUBLISH."""
    drafts = drafts_of([document for document in documents if document.status != status])
    changed = save_documents(kb, [replace(draft, row=replace(draft.row, status=status.value)) for draft in drafts], caller).updated
    if status == Document.Status.ARCHIVED:
        changed += keep_archived(documents)
    return changed


def keep_archived(documents: Sequence[Document]) -> int:
    """Makes it a person's word that these are archived: nothing brings them back by itself. Returns for how many that is new."""
    return Withdrawal.objects.filter(document__in=documents).delete()[0] if documents else 0


def delete_documents(kb: KnowledgeBase, documents: Sequence[Document], caller: Caller) -> None:
    """Deletes documents with their passages and questions; from the commit on they never answer again."""
    caller.require(Permission.EDIT, kb.pk)
    if any(document.status == PUBLISHED for document in documents):
        caller.require(Permission.PUBLISH, kb.pk)
    with transaction.atomic():
        lock_kb(kb)
        passages = list(Passage.objects.filter(document__in=documents).only("pk", "document_id"))
        delete_entries(kb, EntryKind.PASSAGE, [passage.pk for passage in passages])
        hide_questions(kb, passages)
        record(caller, "delete_documents", target=first_of(document.external_id for document in documents), kb=kb.slug)
        Document.objects.filter(kb=kb, pk__in=[document.pk for document in documents]).delete()
    follower().wake()


def forget_sources(kb: KnowledgeBase, documents: Sequence[Document], caller: Caller) -> int:
    """Makes the next ingestion of their sources read them anew, changed or not; what was edited since is then lost. Returns how many."""
    caller.require(Permission.EDIT, kb.pk)
    if any(document.status == PUBLISHED for document in documents):
        caller.require(Permission.PUBLISH, kb.pk)
    with transaction.atomic():
        known = Document.objects.filter(kb=kb, pk__in=[document.pk for document in documents]).exclude(source_sha256="")
        count = known.update(source_sha256="")
        record(caller, "forget_sources", target=first_of(document.external_id for document in documents), kb=kb.slug)
    return count


def _write(kb: KnowledgeBase, plan: SavePlan, encoded: EncodedTexts | None) -> None:
    Document.objects.bulk_create(plan.new)
    Document.objects.bulk_update(plan.changed, DOCUMENT_FIELDS, batch_size=50)
    Withdrawal.objects.filter(
        document__in=[document.pk for document in plan.changed if document.status != Document.Status.ARCHIVED]
    ).delete()
    Document.objects.bulk_update(plan.touched, ["source_sha256"], batch_size=500)
    moving = [passage.pk for passage in plan.moved_passages + plan.dropped_passages]
    Passage.objects.filter(pk__in=moving).update(number=F("number") + _OUT_OF_THE_WAY)
    Passage.objects.bulk_update(plan.moved_passages, PLACE_FIELDS, batch_size=200)
    for passage in plan.new_passages:
        passage.document = passage.document  # which has its primary key now
    Passage.objects.bulk_create(plan.new_passages)
    _hide(kb, plan)
    hand_over_questions(kb, plan.dropped_passages, plan.new_passages)
    Passage.objects.filter(pk__in=[passage.pk for passage in plan.dropped_passages]).delete()
    if plan.retag:
        retag_entries(kb, EntryKind.PASSAGE, facts_by_passage(plan.retag))
        put_questions(kb, plan.retag, encoded, retag=True)
    if plan.find:
        rows = [(passage.pk, entry_text(passage)) for passage in plan.find]
        put_entries(kb, EntryKind.PASSAGE, rows, encoded, facts_by_passage(plan.find))
        put_questions(kb, plan.find, encoded)


def _hide(kb: KnowledgeBase, plan: SavePlan) -> None:
    """Takes passages out of the indexes; their questions too, unless they are dropped and may yet be handed over."""
    if plan.hide:
        dropped = set(plan.dropped_passages)
        delete_entries(kb, EntryKind.PASSAGE, [passage.pk for passage in plan.hide])
        hide_questions(kb, [passage for passage in plan.hide if passage not in dropped])
