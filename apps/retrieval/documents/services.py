"""What can be done to documents: every change goes through here, and is findable (or gone) when it returns."""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.audit import first_of, record
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.chunking import Chunk, ChunkedDocument
from apps.retrieval.documents.facts import facts_of
from apps.retrieval.documents.fingerprints import bands_of
from apps.retrieval.documents.passage_questions import hand_over_questions, hide_questions, put_questions, question_texts
from apps.retrieval.documents.passages import entry_text, facts_by_passage, passage_text
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.indexing import delete_entries, put_entries, retag_entries
from apps.retrieval.vectors.encoding import EncodedTexts, encode_in_batches
from core.errors import Forbidden
from core.languages import guess_language
from core.types import EntryKind

_PUBLISHED = Document.Status.PUBLISHED
_ROW_FIELDS = ("title", "text", "url", "media_type", "language", "author", "category", "date", "status")
_BAND_FIELDS = ("band_0", "band_1", "band_2", "band_3")
_FIELDS = (*_ROW_FIELDS, "tags", "access", "source_sha256", "text_sha256", "simhash", *_BAND_FIELDS, "updated_at")
_SPAN_FIELDS = ("start", "end", "page", "section_start", "section_end")
_PLACE_FIELDS = ("number", *_SPAN_FIELDS)
_OUT_OF_THE_WAY = 1_000_000_000  # numbers of one document are unique at every moment, so those that change step aside first


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A document to be saved: what is known of it, its text cut into passages, its fingerprint, and the hash of what it was made from.

    Of a document that is there already, the fields in `kept` stay as they are where the row has nothing to say.
    """

    row: DocumentRow
    chunked: ChunkedDocument
    simhash: int | None = None
    source_sha256: str = ""
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedDocuments:
    """What became of the drafts of one save, in their order."""

    documents: tuple[Document, ...]
    created: int
    updated: int
    unchanged: int


@dataclass(slots=True)
class _Plan:
    """What one save changes, gathered before anything is written."""

    new: list[Document] = field(default_factory=list)
    changed: list[Document] = field(default_factory=list)
    touched: list[Document] = field(default_factory=list)
    new_passages: list[Passage] = field(default_factory=list)
    moved_passages: list[Passage] = field(default_factory=list)
    dropped_passages: list[Passage] = field(default_factory=list)
    find: list[Passage] = field(default_factory=list)
    hide: list[Passage] = field(default_factory=list)
    retag: list[Passage] = field(default_factory=list)
    unchanged: int = 0


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
    if any(draft.row.status == _PUBLISHED for draft in drafts) and not caller.may(Permission.PUBLISH, kb.pk):
        raise Forbidden("Your role may not publish: save it as `in_review`, and a reviewer will.", field="status")
    _, foreseen = _plan(kb, drafts, caller)
    texts = [(EntryKind.PASSAGE, entry_text(passage)) for passage in foreseen.find]
    encoded = encode_in_batches(texts + question_texts(foreseen.find + foreseen.dropped_passages), check=check)
    with transaction.atomic():
        KnowledgeBase.objects.select_for_update().get(pk=kb.pk)
        documents, plan = _plan(kb, drafts, caller)
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
    return save_documents(kb, [replace(draft, row=replace(draft.row, status=status.value)) for draft in drafts], caller).updated


def delete_documents(kb: KnowledgeBase, documents: Sequence[Document], caller: Caller) -> None:
    """Deletes documents with their passages and questions; from the commit on they never answer again."""
    caller.require(Permission.EDIT, kb.pk)
    if any(document.status == _PUBLISHED for document in documents):
        caller.require(Permission.PUBLISH, kb.pk)
    with transaction.atomic():
        KnowledgeBase.objects.select_for_update().get(pk=kb.pk)
        passages = list(Passage.objects.filter(document__in=documents).only("pk", "document_id"))
        delete_entries(kb, EntryKind.PASSAGE, [passage.pk for passage in passages])
        hide_questions(kb, passages)
        record(caller, "delete_documents", target=first_of(document.external_id for document in documents), kb=kb.slug)
        Document.objects.filter(kb=kb, pk__in=[document.pk for document in documents]).delete()
    follower().wake()


def forget_sources(kb: KnowledgeBase, documents: Sequence[Document], caller: Caller) -> int:
    """Makes the next ingestion of their sources read them anew, changed or not; what was edited since is then lost. Returns how many."""
    caller.require(Permission.EDIT, kb.pk)
    if any(document.status == _PUBLISHED for document in documents):
        caller.require(Permission.PUBLISH, kb.pk)
    with transaction.atomic():
        known = Document.objects.filter(kb=kb, pk__in=[document.pk for document in documents]).exclude(source_sha256="")
        count = known.update(source_sha256="")
        record(caller, "forget_sources", target=first_of(document.external_id for document in documents), kb=kb.slug)
    return count


def drafts_of(documents: Sequence[Document]) -> list[Draft]:
    """The stored documents as drafts, cut as they are: saving one as it is changes nothing."""
    passages: dict[int, list[Chunk]] = defaultdict(list)
    for passage in Passage.objects.filter(document__in=documents).order_by("document", "number"):
        passages[passage.document_id].append(
            Chunk(heading=passage.heading, text=passage.text, **{name: getattr(passage, name) for name in _SPAN_FIELDS})
        )
    return [
        Draft(
            row=row_of(document),
            chunked=ChunkedDocument(document.text, tuple(passages[document.pk])),
            simhash=document.simhash,
            source_sha256=document.source_sha256,
        )
        for document in documents
    ]


def row_of(document: Document, *, text: str | None = None) -> DocumentRow:
    """The document as a row; with another text, its own need not be read."""
    said: dict[str, Any] = {name: getattr(document, name) for name in _ROW_FIELDS if name != "text"}
    said["text"] = document.text if text is None else text
    return DocumentRow(id=document.external_id, tags=tuple(document.tags), access=tuple(document.access), **said)


def text_digest(text: str) -> str:
    """The key under which the same text is found exactly."""
    return hashlib.sha256(text.encode()).hexdigest()


def _plan(kb: KnowledgeBase, drafts: Sequence[Draft], caller: Caller) -> tuple[list[Document], _Plan]:
    """Compares the drafts with what is stored."""
    same_ids = Document.objects.filter(kb=kb, external_id__in=[draft.row.id for draft in drafts]).order_by()
    stored = {found.external_id: found for found in same_ids}
    passages: dict[int, list[Passage]] = defaultdict(list)
    for passage in Passage.objects.filter(document__in=[document.pk for document in stored.values()]).order_by("document", "number"):
        passages[passage.document_id].append(passage)
    plan, documents = _Plan(), []
    for draft in drafts:
        document = stored.get(draft.row.id) if draft.row.id else None
        draft = replace(draft, row=_completed(draft, document, caller.may(Permission.PUBLISH, kb.pk)))
        if document is None:
            document = Document(kb=kb, external_id=str(draft.row.id))
            plan.new.append(document)
            _plan_change(plan, document, draft, [])
        elif _is_as(document, draft, passages[document.pk]):
            plan.unchanged += 1
            if document.source_sha256 != draft.source_sha256:
                document.source_sha256 = draft.source_sha256
                plan.touched.append(document)
        else:
            if document.status == _PUBLISHED:
                caller.require(Permission.PUBLISH, kb.pk)
            plan.changed.append(document)
            _plan_change(plan, document, draft, passages[document.pk])
        documents.append(document)
    return documents, plan


def _completed(draft: Draft, document: Document | None, may_publish: bool) -> DocumentRow:
    """The row with the text as it was laid out, what it keeps, an id, a language, and a status: published by whoever may."""
    row = draft.row
    said: dict[str, Any] = {name: getattr(document, name) for name in draft.kept if not getattr(row, name)} if document else {}
    said |= {name: tuple(said[name]) for name in ("tags", "access") if name in said}
    row = replace(row, **said)
    return replace(
        row,
        id=row.id or secrets.token_hex(8),
        text=draft.chunked.text,
        language=row.language or guess_language(draft.chunked.text),
        status=row.status or str(_PUBLISHED if may_publish else Document.Status.IN_REVIEW),
    )


def _is_as(document: Document, draft: Draft, passages: Sequence[Passage]) -> bool:
    """Whether saving the draft would change nothing."""
    row = draft.row
    return (
        all(getattr(document, name) == getattr(row, name) for name in _ROW_FIELDS)
        and (tuple(document.tags), tuple(document.access)) == (row.tags, row.access)
        and [_spans(one) for one in passages] == [_spans(one) for one in draft.chunked.passages]
    )


def _spans(passage: Passage | Chunk) -> tuple[str | int | None, ...]:
    """Where a passage stands: what tells it from another one of the same text."""
    return (passage.heading, *(getattr(passage, name) for name in _SPAN_FIELDS))


def _plan_change(plan: _Plan, document: Document, draft: Draft, stored: Sequence[Passage]) -> None:
    """Notes what has to change for `document` to become the draft; passages whose entry stays keep their id, and so their vector."""
    was_findable = document.pk is not None and document.status == _PUBLISHED
    facts_before = facts_of(document)
    texts_before: dict[str, list[Passage]] = defaultdict(list)
    for passage in reversed(stored):
        texts_before[passage_text(document.title, passage.heading, passage.text)].append(passage)
    _fill(document, draft)
    is_findable, retagged = document.status == _PUBLISHED, facts_of(document) != facts_before
    for number, chunk in enumerate(draft.chunked.passages):
        same = texts_before.get(passage_text(document.title, chunk.heading, chunk.text))
        if same:
            passage = same.pop()
            if _move(passage, chunk, number):
                plan.moved_passages.append(passage)
            if is_findable and was_findable and retagged:
                plan.retag.append(passage)
            elif was_findable and not is_findable:
                plan.hide.append(passage)
        else:
            passage = Passage(document=document, text=chunk.text, heading=chunk.heading)
            _move(passage, chunk, number)
            plan.new_passages.append(passage)
        if is_findable and not (same is not None and was_findable):
            plan.find.append(passage)
        passage.document = document
    dropped = [passage for left in texts_before.values() for passage in left]
    plan.dropped_passages += dropped
    plan.hide += dropped if was_findable else []


def _fill(document: Document, draft: Draft) -> None:
    for name in _ROW_FIELDS:
        setattr(document, name, getattr(draft.row, name))
    document.tags, document.access = list(draft.row.tags), list(draft.row.access)
    document.source_sha256, document.text_sha256 = draft.source_sha256, text_digest(draft.row.text)
    document.simhash = draft.simhash
    for number, name in enumerate(_BAND_FIELDS):
        setattr(document, name, None if draft.simhash is None else bands_of(draft.simhash)[number])
    document.updated_at = timezone.now()


def _move(passage: Passage, chunk: Chunk, number: int) -> bool:
    """Puts a passage where its text is now. Whether it was elsewhere."""
    place = (number, *(getattr(chunk, name) for name in _SPAN_FIELDS))
    moved = tuple(getattr(passage, name) for name in _PLACE_FIELDS) != place
    for name, value in zip(_PLACE_FIELDS, place, strict=True):
        setattr(passage, name, value)
    return moved


def _write(kb: KnowledgeBase, plan: _Plan, encoded: EncodedTexts | None) -> None:
    Document.objects.bulk_create(plan.new)
    Document.objects.bulk_update(plan.changed, _FIELDS, batch_size=50)
    Document.objects.bulk_update(plan.touched, ["source_sha256"], batch_size=500)
    moving = [passage.pk for passage in plan.moved_passages + plan.dropped_passages]
    Passage.objects.filter(pk__in=moving).update(number=F("number") + _OUT_OF_THE_WAY)
    Passage.objects.bulk_update(plan.moved_passages, _PLACE_FIELDS, batch_size=200)
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


def _hide(kb: KnowledgeBase, plan: _Plan) -> None:
    """Takes passages out of the indexes; their questions too, unless they are dropped and may yet be handed over."""
    if plan.hide:
        delete_entries(kb, EntryKind.PASSAGE, [passage.pk for passage in plan.hide])
        hide_questions(kb, [passage for passage in plan.hide if passage not in set(plan.dropped_passages)])
