"""What can be done to FAQs: every change goes through here, and is findable (or gone) when it returns."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from django.db import transaction
from django.utils import timezone

from apps.accounts.audit import first_of, record
from apps.accounts.permissions import Caller, Permission
from apps.faq.models import FAQ, FAQQuestion, FAQStatus
from apps.faq.rows import FAQRow
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.indexing import delete_entries, lock_kb, put_entries
from apps.retrieval.vectors.encoding import EncodedTexts, encode_if_possible
from core.errors import Forbidden
from core.text import guess_locale, normalize
from core.types import EntryKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What became of the rows of one save, in their order."""

    faqs: tuple[FAQ, ...]
    created: int
    updated: int
    unchanged: int


@dataclass(slots=True)
class _Plan:
    """What one save changes, gathered before anything is written."""

    new_faqs: list[FAQ] = field(default_factory=list)
    changed_faqs: list[FAQ] = field(default_factory=list)
    new_questions: list[FAQQuestion] = field(default_factory=list)
    moved_questions: list[FAQQuestion] = field(default_factory=list)
    dropped_questions: list[FAQQuestion] = field(default_factory=list)
    find: list[FAQQuestion] = field(default_factory=list)
    hide: list[FAQQuestion] = field(default_factory=list)
    unchanged: int = 0


def question_digest(text: str) -> str:
    """The key under which the same question, however punctuated, is found exactly."""
    return hashlib.blake2b(normalize(text).encode(), digest_size=16).hexdigest()


def save_faqs(kb: KnowledgeBase, rows: Sequence[FAQRow], caller: Caller) -> Saved:
    """Creates the rows, or replaces those whose id exists; all or nothing. Rows that change nothing cost nothing.

    Raises Forbidden where the caller may not publish and the change would touch what is published.
    """
    caller.require(Permission.EDIT, kb.pk)
    rows = [_with_status(row, kb, caller) for row in rows]
    encoded = _encode_new(kb, rows)
    with transaction.atomic():
        lock_kb(kb)
        faqs, plan = _plan(kb, rows, caller)
        _write(kb, plan, encoded)
        if plan.new_faqs or plan.changed_faqs:
            record(caller, "save_faqs", target=first_of(faq.external_id for faq in plan.new_faqs + plan.changed_faqs), kb=kb.slug)
    follower().wake()
    return Saved(faqs=tuple(faqs), created=len(plan.new_faqs), updated=len(plan.changed_faqs), unchanged=plan.unchanged)


def preview_faqs(kb: KnowledgeBase, rows: Sequence[FAQRow], caller: Caller) -> Saved:
    """What `save_faqs` would do, without doing it."""
    caller.require(Permission.EDIT, kb.pk)
    faqs, plan = _plan(kb, [_with_status(row, kb, caller) for row in rows], caller)
    return Saved(faqs=tuple(faqs), created=len(plan.new_faqs), updated=len(plan.changed_faqs), unchanged=plan.unchanged)


def set_status(kb: KnowledgeBase, faqs: Sequence[FAQ], status: FAQStatus, caller: Caller) -> int:
    """Moves FAQs through their life cycle. Returns how many changed. Publishing and withdrawing need PUBLISH."""
    rows = [replace(row_of(faq), status=status.value) for faq in faqs if faq.status != status]
    return save_faqs(kb, rows, caller).updated if rows else 0


def delete_faqs(kb: KnowledgeBase, faqs: Sequence[FAQ], caller: Caller) -> None:
    """Deletes FAQs with their phrasings; from the commit on they never answer again."""
    caller.require(Permission.EDIT, kb.pk)
    if any(faq.status == FAQStatus.PUBLISHED for faq in faqs):
        caller.require(Permission.PUBLISH, kb.pk)
    with transaction.atomic():
        questions = list(FAQQuestion.objects.filter(faq__in=faqs).values_list("pk", flat=True))
        delete_entries(kb, EntryKind.FAQ, questions)
        record(caller, "delete_faqs", target=first_of(faq.external_id for faq in faqs), kb=kb.slug)
        FAQ.objects.filter(pk__in=[faq.pk for faq in faqs]).delete()
    follower().wake()


def row_of(faq: FAQ) -> FAQRow:
    """The FAQ as a row; its questions should be prefetched."""
    return FAQRow(
        id=faq.external_id,
        questions=tuple(question.text for question in sorted(faq.questions.all(), key=lambda question: (question.position, question.pk))),
        answer=faq.answer,
        category=faq.category,
        locale=faq.locale,
        valid_from=faq.valid_from,
        valid_until=faq.valid_until,
        status=faq.status,
    )


def _with_status(row: FAQRow, kb: KnowledgeBase, caller: Caller) -> FAQRow:
    """A row without status is published at once by whoever may publish, else it goes to review."""
    may_publish = caller.may(Permission.PUBLISH, kb.pk)
    if row.status is None:
        return replace(row, status=str(FAQStatus.PUBLISHED if may_publish else FAQStatus.IN_REVIEW))
    if row.status == FAQStatus.PUBLISHED and not may_publish:
        raise Forbidden("Your role may not publish: save it as `in_review`, and a reviewer will.", field="status")
    return row


def _encode_new(kb: KnowledgeBase, rows: Sequence[FAQRow]) -> EncodedTexts | None:
    """Vectors of the phrasings that this save will make findable, made before any lock is taken."""
    ids = [row.id for row in rows if row.id]
    findable = FAQQuestion.objects.filter(faq__kb=kb, faq__status=FAQStatus.PUBLISHED, faq__external_id__in=ids)
    known = set(findable.values_list("faq__external_id", "text"))
    published = [row for row in rows if row.status == FAQStatus.PUBLISHED]
    return encode_if_possible([(EntryKind.FAQ, text) for row in published for text in row.questions if (row.id, text) not in known])


def _plan(kb: KnowledgeBase, rows: Sequence[FAQRow], caller: Caller) -> tuple[list[FAQ], _Plan]:
    """Compares the rows with what is stored; the knowledge base is locked, so nothing moves meanwhile."""
    ids = [row.id for row in rows if row.id]
    stored = {faq.external_id: faq for faq in FAQ.objects.filter(kb=kb, external_id__in=ids).prefetch_related("questions")}
    plan, faqs = _Plan(), []
    for row in rows:
        faq = stored.get(row.id) if row.id else None
        if faq is None:
            faq = FAQ(kb=kb, external_id=row.id or secrets.token_hex(8), version=0)
            plan.new_faqs.append(faq)
            _plan_change(plan, faq, row, [], caller)
            stored[faq.external_id] = faq
        elif row_of(faq) == _settled(row, faq.locale):
            plan.unchanged += 1
        else:
            if faq.status == FAQStatus.PUBLISHED:
                caller.require(Permission.PUBLISH, kb.pk)
            plan.changed_faqs.append(faq)
            _plan_change(plan, faq, row, list(faq.questions.all()), caller)
        faqs.append(faq)
    return faqs, plan


def _settled(row: FAQRow, locale: str) -> FAQRow:
    return row if row.locale else replace(row, locale=locale)


def _plan_change(plan: _Plan, faq: FAQ, row: FAQRow, stored: list[FAQQuestion], caller: Caller) -> None:
    """Notes what has to change for `faq` to become `row`; phrasings whose text stays keep their id, and so their vector."""
    was_findable = faq.pk is not None and faq.status == FAQStatus.PUBLISHED
    faq.answer, faq.category, faq.status = row.answer, row.category, row.status or FAQStatus.DRAFT
    faq.locale = row.locale or faq.locale or guess_locale(row.questions[0]).value
    faq.valid_from, faq.valid_until = row.valid_from, row.valid_until
    faq.version, faq.updated_by, faq.updated_at = faq.version + 1, caller.name, timezone.now()
    is_findable = faq.status == FAQStatus.PUBLISHED
    kept = {question.text: question for question in stored if question.text in row.questions}
    dropped = [question for question in stored if kept.get(question.text) is not question]
    for position, text in enumerate(row.questions):
        question = kept.get(text)
        if question is None:
            question = FAQQuestion(kb_id=faq.kb_id, faq=faq, text=text, normalized_digest=question_digest(text), position=position)
            plan.new_questions.append(question)
        elif question.position != position:
            question.position = position
            plan.moved_questions.append(question)
        if is_findable and not (was_findable and text in kept):
            plan.find.append(question)
    plan.dropped_questions += dropped
    if was_findable:
        plan.hide += dropped if is_findable else stored


def _write(kb: KnowledgeBase, plan: _Plan, encoded: EncodedTexts | None) -> None:
    fields = ["answer", "category", "locale", "status", "valid_from", "valid_until", "version", "updated_by", "updated_at"]
    FAQ.objects.bulk_create(plan.new_faqs)
    FAQ.objects.bulk_update(plan.changed_faqs, fields)
    for question in plan.new_questions:
        question.faq_id = question.faq.pk
    FAQQuestion.objects.bulk_create(plan.new_questions)
    FAQQuestion.objects.bulk_update(plan.moved_questions, ["position"])
    if plan.hide:
        delete_entries(kb, EntryKind.FAQ, [question.pk for question in plan.hide])
    FAQQuestion.objects.filter(pk__in=[question.pk for question in plan.dropped_questions]).delete()
    if plan.find:
        put_entries(kb, EntryKind.FAQ, [(question.pk, question.text) for question in plan.find], encoded)
