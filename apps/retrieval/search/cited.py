"""Where does a reader open the documents that an answer names? On the page of each one, at the cited passage, where it may be opened at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from django.db.models.functions import Substr
from django.urls import reverse

from apps.accounts.permissions import Caller
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.search.archive import readable
from apps.retrieval.selectors import may_search, readable_scope
from core.types import Source

PASSAGE = "passage"
MAX_PLACES = 20


@dataclass(frozen=True, slots=True)
class _Cited:
    """A document that a source may come from, and whether it still says there what the source quotes."""

    pk: int
    kb_id: int
    is_same: bool


def addresses_of(sources: Iterable[Source], kbs: Iterable[KnowledgeBase], caller: Caller) -> Mapping[str, str]:
    """The addresses of the pages of the sources' documents, by the ids of the sources: of those that the caller may open, and no others.

    The documents are looked for in `kbs`. A page is opened at what the answer says word for word, or else at the whole quotation;
    at its beginning, where the document says something else there by now. One query a source, and one more to see who may read it.
    """
    bases = {kb.pk: kb for kb in kbs}
    readers = {pk: readable_scope(kb, caller) for pk, kb in bases.items() if may_search(kb, caller)}
    found: dict[str, str] = {}
    for source in sources if readers else ():
        for cited in _documents_cited(source, bases):
            if cited.kb_id in readers and readable(readers[cited.kb_id]).filter(pk=cited.pk).exists():
                found[source.id] = _address(bases[cited.kb_id], source, is_same=cited.is_same)
                break
    return found


def _documents_cited(source: Source, kb_ids: Iterable[int]) -> list[_Cited]:
    """Those that say what the source quotes; where there is none, the only one of its id: another one of that id is another document."""
    if source.kind != PASSAGE or not source.document or source.start is None or source.end is None:
        return []
    quoted = Substr("text", source.start + 1, source.end - source.start)
    rows = Document.objects.filter(kb__in=kb_ids, external_id=source.document).order_by("pk")
    named = [
        _Cited(pk, kb_id, text == source.text) for pk, kb_id, text in rows.annotate(quoted=quoted).values_list("pk", "kb_id", "quoted")
    ]
    return [one for one in named if one.is_same] or (named if len(named) == 1 else [])


def _address(kb: KnowledgeBase, source: Source, *, is_same: bool) -> str:
    page = f"{reverse('search-page', args=[kb.slug])}documents/{quote(str(source.document), safe='')}/"
    start, end = source.start or 0, source.end or 0
    places = [(start + first, start + last) for first, last in source.marks[:MAX_PLACES]] or [(start, end)]
    return f"{page}?at={','.join(f'{first}-{last}' for first, last in places)}" if is_same else page
