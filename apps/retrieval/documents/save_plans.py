"""What does a save of drafts change? They are compared with what is stored, before anything is written."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils import timezone

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.chunking import Chunk
from apps.retrieval.documents.drafts import ROW_FIELDS, SPAN_FIELDS, Draft, rebased
from apps.retrieval.documents.facts import facts_of
from apps.retrieval.documents.passages import passage_text
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.models import Document, KnowledgeBase, Passage, Withdrawal
from apps.retrieval.parsing.stated import stated_author
from core.languages import guess_language

PUBLISHED = Document.Status.PUBLISHED
_BAND_FIELDS = ("band_0", "band_1", "band_2", "band_3")
DOCUMENT_FIELDS = (*ROW_FIELDS, "tags", "access", "source_sha256", "text_sha256", "simhash", *_BAND_FIELDS, "updated_at")
PLACE_FIELDS = ("number", *SPAN_FIELDS)


@dataclass(slots=True)
class SavePlan:
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


def plan_save(kb: KnowledgeBase, drafts: Sequence[Draft], caller: Caller) -> tuple[list[Document], SavePlan]:
    """The documents as they will be, in the order of the drafts, and what has to change for that. Raises Forbidden as the save does."""
    same_ids = Document.objects.filter(kb=kb, external_id__in=[draft.row.id for draft in drafts]).order_by()
    stored = {found.external_id: found for found in same_ids}
    passages: dict[int, list[Passage]] = defaultdict(list)
    for passage in Passage.objects.filter(document__in=[document.pk for document in stored.values()]).order_by("document", "number"):
        passages[passage.document_id].append(passage)
    withdrawn = _withdrawn(stored.values()) if any(draft.comes_back for draft in drafts) else set()
    plan, documents = SavePlan(), []
    for draft in drafts:
        document = stored.get(draft.row.id) if draft.row.id else None
        if draft.comes_back and (document is None or document.pk not in withdrawn):
            draft = replace(draft, row=replace(draft.row, status=document.status if document else None))
        draft = rebased(draft, document) if document is not None else draft
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
            if document.status == PUBLISHED:
                caller.require(Permission.PUBLISH, kb.pk)
            plan.changed.append(document)
            _plan_change(plan, document, draft, passages[document.pk])
        documents.append(document)
    return documents, plan


def _withdrawn(documents: Iterable[Document]) -> set[int]:
    return set(Withdrawal.objects.filter(document__in=[document.pk for document in documents]).values_list("document", flat=True))


def _completed(draft: Draft, document: Document | None, may_publish: bool) -> DocumentRow:
    """The row with the text as it was laid out, what it keeps, an id, a language, and a status: published by whoever may."""
    row = draft.row
    said: dict[str, Any] = {name: getattr(document, name) for name in draft.kept if not getattr(row, name)} if document else {}
    said |= {name: tuple(said[name]) for name in ("tags", "access") if name in said}
    if "author" in said:  # read before such names were known as none
        said["author"] = stated_author(said["author"])
    row = replace(row, **said)
    return replace(
        row,
        id=row.id or secrets.token_hex(8),
        text=draft.chunked.text,
        language=row.language or guess_language(draft.chunked.text),
        status=row.status or str(PUBLISHED if may_publish else Document.Status.IN_REVIEW),
    )


def _is_as(document: Document, draft: Draft, passages: Sequence[Passage]) -> bool:
    """Whether saving the draft would change nothing."""
    row = draft.row
    return (
        all(getattr(document, name) == getattr(row, name) for name in ROW_FIELDS)
        and (tuple(document.tags), tuple(document.access)) == (row.tags, row.access)
        and [_spans(one) for one in passages] == [_spans(one) for one in draft.chunked.passages]
    )


def _spans(passage: Passage | Chunk) -> tuple[str | int | None, ...]:
    """Where a passage stands: what tells it from another one of the same text."""
    return (passage.heading, *(getattr(passage, name) for name in SPAN_FIELDS))


def _plan_change(plan: SavePlan, document: Document, draft: Draft, stored: Sequence[Passage]) -> None:
    """Notes what has to change for `document` to become the draft; passages whose entry stays keep their id, and so their vector."""
    was_findable = document.pk is not None and document.status == PUBLISHED
    facts_before = facts_of(document)
    texts_before: dict[str, list[Passage]] = defaultdict(list)
    for passage in reversed(stored):
        texts_before[passage_text(document.title, passage.heading, passage.text)].append(passage)
    _fill(document, draft)
    is_findable, retagged = document.status == PUBLISHED, facts_of(document) != facts_before
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
    for name in ROW_FIELDS:
        setattr(document, name, getattr(draft.row, name))
    document.tags, document.access = list(draft.row.tags), list(draft.row.access)
    document.source_sha256, document.text_sha256 = draft.source_sha256, next(iter(draft.digests), "")
    fingerprint = next(iter(draft.fingerprints), None)
    document.simhash = fingerprint.value if fingerprint else None
    for number, name in enumerate(_BAND_FIELDS):
        setattr(document, name, fingerprint.bands[number] if fingerprint else None)
    document.updated_at = timezone.now()


def _move(passage: Passage, chunk: Chunk, number: int) -> bool:
    """Puts a passage where its text is now. Whether it was elsewhere."""
    place = (number, *(getattr(chunk, name) for name in SPAN_FIELDS))
    moved = tuple(getattr(passage, name) for name in PLACE_FIELDS) != place
    for name, value in zip(PLACE_FIELDS, place, strict=True):
        setattr(passage, name, value)
    return moved
