"""What can be read of FAQs: lists for curators, candidates for answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
        within = Q(answer__icontains=text) | Q(external_id=text) | Q(pk__in=FAQQuestion.objects.filter(faq__kb=kb, text__icontains=text).values("faq"))
        faqs = faqs.filter(within)
    return faqs


def faq_of(kb: KnowledgeBase, external_id: str) -> FAQ:
    """One FAQ by its id."""
    faq = FAQ.objects.filter(kb=kb, external_id=external_id).prefetch_related("questions").first()
    if faq is None:
        raise NotFound(f"No FAQ {external_id[:120]!r} in this knowledge base.")
    return faq


def answering(questions: QuerySet[FAQQuestion], scope: Scope) -> QuerySet[FAQQuestion]:
    """Only the phrasings that may answer now: in scope, published, valid today. Reading them here is what makes a delete final."""
    now = timezone.now()
    valid = (Q(faq__valid_from=None) | Q(faq__valid_from__lte=now)) & (Q(faq__valid_until=None) | Q(faq__valid_until__gte=now))
    return questions.filter(valid, faq__kb_id__in=scope.kb_ids, faq__status=FAQStatus.PUBLISHED).select_related("faq")


def phrasings(ids: Sequence[int], digest: str, scope: Scope) -> list[FAQQuestion]:
    """The phrasings with these ids, or with this digest of the whole question, that may answer now; oldest first."""
    return list(answering(FAQQuestion.objects.filter(Q(pk__in=ids) | Q(normalized_digest=digest)), scope).order_by("pk"))


def findable_phrasings(kb: KnowledgeBase) -> Iterator[tuple[int, str]]:
    """(id, text) of every phrasing that the indexes must hold: those of published FAQs, whatever their dates."""
    return FAQQuestion.objects.filter(faq__kb=kb, faq__status=FAQStatus.PUBLISHED).values_list("pk", "text").iterator(chunk_size=5000)
