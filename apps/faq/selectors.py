"""What can be read of FAQs: lists for curators, candidates for answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.faq.models import FAQ, FAQQuestion, FAQStatus
from apps.retrieval.models import KnowledgeBase
from core.errors import NotFound
from core.types import Scope


def faqs_of(kb: KnowledgeBase, *, status: str = "", category: str = "", locale: str = "", text: str = "") -> QuerySet[FAQ]:
    """A knowledge base's FAQs, newest change first; `text` looks into questions, answers and ids."""
    faqs = FAQ.objects.filter(kb=kb).prefetch_related("questions").order_by("-updated_at", "-pk")
    for name, value in (("status", status), ("category", category), ("locale", locale)):
        if value:
            faqs = faqs.filter(**{name: value})
    if text:
        within = (
            Q(answer__icontains=text)
            | Q(external_id=text)
            | Q(pk__in=FAQQuestion.objects.filter(faq__kb=kb, text__icontains=text).values("faq"))
        )
        faqs = faqs.filter(within)
    return faqs


def faq_of(kb: KnowledgeBase, external_id: str) -> FAQ:
    """One FAQ by its id."""
    faq = FAQ.objects.filter(kb=kb, external_id=external_id).prefetch_related("questions").first()
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

    Only what is in scope, published and valid today: reading that from the database at every question is what makes an
    unpublish or a delete final at once. Rows are fetched by primary key and judged here, since a joined filter lets SQLite
    start from "all published FAQs of the base", a scan that grows with it (measured: 2 ms at 900 FAQs instead of 0.3).
    """
    same = Q(kb_id__in=scope.kb_ids, normalized_digest=digest)
    rows = FAQQuestion.objects.filter(Q(pk__in=ids) | same).values_list("pk", "faq_id", "text", "normalized_digest").order_by()
    found = sorted(rows)
    faqs = _answering({faq_id for _, faq_id, _, _ in found}, scope)
    return [StoredPhrasing(pk, faq_id, faqs[faq_id], text, digest) for pk, faq_id, text, digest in found if faq_id in faqs]


def _answering(faq_ids: Collection[int], scope: Scope) -> dict[int, str]:
    """The ids of those FAQs that may answer now, by primary key."""
    now = timezone.now()
    rows = FAQ.objects.filter(pk__in=faq_ids).values_list("pk", "external_id", "kb_id", "status", "valid_from", "valid_until").order_by()
    return {
        pk: external_id
        for pk, external_id, kb_id, status, valid_from, valid_until in rows
        if scope.allows(kb_id)
        and status == FAQStatus.PUBLISHED
        and (valid_from is None or valid_from <= now)
        and (valid_until is None or now <= valid_until)
    }


def answer_text(faq_id: int) -> str:
    """The FAQ's answer as it stands. Raises NotFound where it was deleted a moment ago."""
    answer = FAQ.objects.filter(pk=faq_id).values_list("answer", flat=True).order_by().first()
    if answer is None:
        raise NotFound("The answer was deleted while it was being given.")
    return answer


def findable_phrasings(kb: KnowledgeBase) -> Iterator[tuple[int, str]]:
    """(id, text) of every phrasing that the indexes must hold: those of published FAQs, whatever their dates."""
    return FAQQuestion.objects.filter(faq__kb=kb, faq__status=FAQStatus.PUBLISHED).values_list("pk", "text").iterator(chunk_size=5000)
