"""What can be read of documents and passages: lists for curators, one by its id."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

from django.db import connection
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast, Lower

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.drafts import stored_fingerprints, text_digests
from apps.retrieval.documents.fingerprints import Fingerprint, fingerprints_of
from apps.retrieval.documents.likeness import LIKE_ENOUGH, likeness, words_of
from apps.retrieval.models import Document, KnowledgeBase, Passage
from core.errors import NotFound

MAX_COPIES, MAX_COMPARED = 20, 10_000
_NUL = "\x00"  # in no stored text, and PostgreSQL refuses to be asked for it


def documents_of(kb: KnowledgeBase, caller: Caller, *, text: str = "", **wanted: str) -> QuerySet[Document]:
    """A knowledge base's documents that the caller may see, without their texts, newest change first; `text` looks into titles and ids."""
    documents = visible_to(caller, Document.objects.filter(kb=kb)).defer("text").order_by("-updated_at", "-pk")
    if _NUL in text + "".join(wanted.values()):
        return documents.none()
    documents = documents.filter(**{name: value for name, value in wanted.items() if value})
    return documents.filter(Q(title__icontains=text) | Q(external_id=text)) if text else documents


def visible_to(caller: Caller, documents: QuerySet[Document]) -> QuerySet[Document]:
    """Those of the documents that the caller may see: all where the caller may edit, elsewhere what access lists leave to the caller's groups.

    Whether the caller may read their knowledge bases at all is not asked here.
    """
    if caller.may(Permission.EDIT):
        return documents
    edited = [kb_id for kb_id in caller.kb_roles if caller.may(Permission.EDIT, kb_id)]
    return listing(documents, "access", caller.groups, or_nothing=True, or_bases=edited)


def listing(
    documents: QuerySet[Document], name: str, values: Iterable[str], *, or_nothing: bool = False, or_bases: Collection[int] = ()
) -> QuerySet[Document]:
    """Those of the documents whose list `name` (`tags`, `access`) has one of these values, or with `or_nothing` is empty, and those of `or_bases`.

    Case makes no difference, as in a search; on SQLite, that of letters beyond ASCII does.
    """
    wanted = Q(kb__in=or_bases) | (Q(**{name: []}) if or_nothing else Q(pk__in=()))
    if not connection.features.supports_json_field_contains:  # SQLite, whose LIKE does not look at case and whose JSON is ASCII
        for value in values:
            wanted |= _in_json(name, json.dumps(value))
        return documents.alias(**{f"{name}_as_text": Cast(name, TextField())}).filter(wanted)
    for value in values:
        lowered = json.dumps(value.lower(), ensure_ascii=False)
        wanted |= Q(**{f"{name}__contains": [value]}) | _in_json(name, lowered)
    return documents.alias(**{f"{name}_as_text": Lower(Cast(name, TextField()))}).filter(wanted)


def _in_json(name: str, quoted: str) -> Q:
    """Whether the text of a list has this value: after `[` or a blank, since a quote within another value follows a backslash."""
    return Q(**{f"{name}_as_text__contains": f"[{quoted}"}) | Q(**{f"{name}_as_text__contains": f", {quoted}"})


def having(documents: QuerySet[Document], name: str, values: Sequence[str]) -> QuerySet[Document]:
    """Those of the documents whose field `name` is one of these values; case as in `listing`."""
    lowered = Q(**{f"{name}_lowered__in": [value.lower() for value in values]})
    return documents.alias(**{f"{name}_lowered": Lower(name)}).filter(lowered | Q(**{f"{name}__in": values}))


def copies_of(document: Document, caller: Caller) -> tuple[list[Document], list[Document]]:
    """Other documents of the base that the caller may see, with the same text, and with nearly the same; `MAX_COPIES` of each, without texts."""
    others = visible_to(caller, Document.objects.filter(kb=document.kb_id)).exclude(pk=document.pk).defer("text").order_by("pk")
    digests = {document.text_sha256, *text_digests(document.text)} - {""}
    same = list(others.filter(text_sha256__in=digests)[:MAX_COPIES])
    near = [found for found in _near(document, others) if found.text_sha256 not in digests]
    return same, near[:MAX_COPIES]


def _near(document: Document, others: QuerySet[Document]) -> list[Document]:
    """Those of the others whose fingerprints are near; of short texts, those that are as alike as the report of an ingestion calls nearly the same."""
    own = fingerprints_of(document.text) or stored_fingerprints(document)
    close: set[int] = set()
    for fingerprint in own:
        for number, value in enumerate(fingerprint.bands):
            sharing = others.filter(**{f"band_{number}": value}).values_list("pk", "simhash")[:MAX_COMPARED]
            close |= {pk for pk, other in sharing if fingerprint.is_near(Fingerprint.stored(other, value))}
    found = list(others.filter(pk__in=sorted(close)[: MAX_COPIES * 2]))
    if not any(fingerprint.of_short for fingerprint in own):
        return found
    words = words_of(document.text)
    texts = dict(others.filter(pk__in=[one.pk for one in found]).values_list("pk", "text"))
    return [one for one in found if likeness(words, words_of(texts[one.pk])) >= LIKE_ENOUGH]


def document_of(kb: KnowledgeBase, external_id: str, caller: Caller) -> Document:
    """One document by its id. Raises NotFound also for one that the caller may not see."""
    named = Document.objects.filter(kb=kb, external_id=external_id)
    document = visible_to(caller, named).first() if _NUL not in external_id else None
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
