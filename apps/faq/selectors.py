"""What can be read of FAQs: lists for curators, candidates for answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.faq.models import FAQ, FAQQuestion, FAQStatus
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.selectors import marks
from core.errors import NotFound
from core.types import Scope

_NUL = "\x00"  # in no stored text, and PostgreSQL refuses to be asked for it


def faqs_of(kb: KnowledgeBase, *, text: str = "", **wanted: str) -> QuerySet[FAQ]:
    """A knowledge base's FAQs, newest change first; `text` looks into questions, answers and ids."""
    faqs = FAQ.objects.filter(kb=kb).prefetch_related("questions").order_by("-updated_at", "-pk")
    if _NUL in text + "".join(wanted.values()):
        return faqs.none()
    faqs = faqs.filter(**{name: value for name, value in wanted.items() if value})
    asked = FAQQuestion.objects.filter(faq__kb=kb, text__icontains=text).values("faq")
    return faqs.filter(Q(answer__icontains=text) | Q(external_id=text) | Q(pk__in=asked)) if text else faqs


def faq_of(kb: KnowledgeBase, external_id: str) -> FAQ:
    """One FAQ by its id."""
    faq = FAQ.objects.filter(kb=kb, external_id=external_id).prefetch_related("questions").first() if _NUL not in external_id else None
    if faq is None:
        raise NotFound(f"No FAQ {external_id[:120]!r} in this knowledge base.")
    return faq


@dataclass(frozen=True, slots=True)
class StoredPhrasing:
    """A phrasing that may answer now, with what matching needs of it and its FAQ."""

    id: int
    faq_id: int
    external_id: str
    text: str
    digest: str


def phrasings(ids: Sequence[int], digest: str, scope: Scope) -> list[StoredPhrasing]:
    """The phrasings with these ids, or with this digest of the whole question, that may answer now; oldest first.

    Only what is in scope, published and valid at this moment: reading that from the database at every question is what
    makes an unpublish or a delete final at once. Plain SQL for two reasons, both measured: CROSS JOIN keeps SQLite from
    starting at "all published FAQs of the base", a scan that grows with it; and the ORM takes 1 ms to build the query, five
    times as long as running it.
    """
    if not scope.kb_ids:
        return []
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    query = f"""
        SELECT q.id, q.faq_id, f.external_id, q.text, q.normalized_digest FROM faq_faqquestion q CROSS JOIN faq_faq f
        WHERE (q.id IN ({marks(ids)}) OR (q.kb_id IN ({marks(scope.kb_ids)}) AND q.normalized_digest = %s))
        AND f.id = q.faq_id AND f.kb_id IN ({marks(scope.kb_ids)}) AND f.status = %s
        AND (f.valid_from IS NULL OR f.valid_from <= %s) AND (f.valid_until IS NULL OR f.valid_until >= %s)
        ORDER BY q.id
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [*ids, *scope.kb_ids, digest, *scope.kb_ids, str(FAQStatus.PUBLISHED), now, now])
        return [StoredPhrasing(*row) for row in cursor.fetchall()]


def answer_text(faq_id: int) -> str:
    """The FAQ's answer as it stands. Raises NotFound where it was deleted a moment ago."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM faq_faq WHERE id = %s", [faq_id])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("The answer was deleted while it was being given.")
    return str(row[0])


def findable_phrasings(kb: KnowledgeBase, owners: Collection[int] | None = None) -> Iterator[tuple[int, str]]:
    """(id, text) of every phrasing, or of those among `owners`, that the indexes must hold: of published FAQs, whatever their dates."""
    rows = FAQQuestion.objects.filter(faq__kb=kb, faq__status=FAQStatus.PUBLISHED)
    some = rows if owners is None else rows.filter(pk__in=owners)
    return some.values_list("pk", "text").iterator(chunk_size=5000)
