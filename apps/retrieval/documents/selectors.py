"""What can be read of documents and passages: lists for curators, one by its id."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from apps.retrieval.models import Document, KnowledgeBase, Passage
from core.errors import NotFound

_NUL = "\x00"  # in no stored text, and PostgreSQL refuses to be asked for it


def documents_of(kb: KnowledgeBase, *, text: str = "", **wanted: str) -> QuerySet[Document]:
    """A knowledge base's documents without their texts, newest change first; `text` looks into titles and ids."""
    documents = Document.objects.filter(kb=kb).defer("text").order_by("-updated_at", "-pk")
    if _NUL in text + "".join(wanted.values()):
        return documents.none()
    documents = documents.filter(**{name: value for name, value in wanted.items() if value})
    return documents.filter(Q(title__icontains=text) | Q(external_id=text)) if text else documents


def document_of(kb: KnowledgeBase, external_id: str) -> Document:
    """One document by its id."""
    document = Document.objects.filter(kb=kb, external_id=external_id).first() if _NUL not in external_id else None
    if document is None:
        raise NotFound(f"No document {external_id[:200]!r} in this knowledge base.")
    return document


def passages_of(document: Document) -> QuerySet[Passage]:
    """The passages of a document in order, with their questions."""
    return Passage.objects.filter(document=document).prefetch_related("questions").order_by("number")


def passage_of(kb: KnowledgeBase, pk: int) -> Passage:
    """One passage by its primary key, with its document."""
    passage = Passage.objects.filter(document__kb=kb, pk=pk).select_related("document").first() if pk < 2**63 else None
    if passage is None:
        raise NotFound(f"No passage {pk} in this knowledge base.")
    return passage
