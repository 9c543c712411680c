"""What do the indexes hold of a passage? Its own words, under the title and the headings that it stands under."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from apps.retrieval.documents.facts import facts_of
from apps.retrieval.models import Document, KnowledgeBase, Passage
from core.types import Facts


def passage_text(title: str, heading: str, text: str) -> str:
    """The text of a passage's entry, for words and vectors alike."""
    return "\n".join(part for part in (title, heading, text) if part)


def entry_text(passage: Passage) -> str:
    """The text of this passage's entry; its document should be at hand."""
    return passage_text(passage.document.title, passage.heading, passage.text)


def facts_by_passage(passages: Iterable[Passage]) -> Mapping[int, Facts]:
    """The facts of each passage by primary key: those of its document, worked out once."""
    of_document: dict[int, Facts] = {}
    return {
        passage.pk: of_document.get(passage.document_id) or of_document.setdefault(passage.document_id, facts_of(passage.document))
        for passage in passages
    }


def findable_passages(kb: KnowledgeBase, owners: Collection[int] | None = None) -> Iterator[tuple[int, str]]:
    """(id, entry text) of every passage, or of those among `owners`, that the indexes must hold: those of published documents."""
    rows = Passage.objects.filter(document__kb=kb, document__status=Document.Status.PUBLISHED)
    some = rows if owners is None else rows.filter(pk__in=owners)
    for pk, title, heading, text in some.values_list("pk", "document__title", "heading", "text").iterator(chunk_size=5000):
        yield pk, passage_text(title, heading, text)


def facts_of_passages(passages: Sequence[int]) -> Mapping[int, Facts]:
    """The facts of these passages: those of their documents."""
    found = Passage.objects.filter(pk__in=passages).select_related("document").defer("text", "document__text")
    return {passage.pk: facts_of(passage.document) for passage in found}
