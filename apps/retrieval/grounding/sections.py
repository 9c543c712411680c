"""What stands around the passages of an answer? The text of their sections near them, of all passages in one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import F, Q
from django.db.models.functions import Greatest, Least, Substr

from apps.retrieval.documents.facts import facts_of, filters_for
from apps.retrieval.documents.page_numbers import page_at
from apps.retrieval.models import Document, Passage
from core.types import Scope

REACH = 2000  # characters of a section on either side of a passage that are read: more than any budget takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """A document's text from `start` to `end`: a passage with its section, no further than `REACH` around it.

    `cut_before` and `cut_after` say that the section goes on there. `pages` has, of each passage in it,
    where it starts, its first page and the later ones, in order.
    """

    start: int
    end: int
    text: str
    cut_before: bool = False
    cut_after: bool = False
    pages: tuple[tuple[int, int, str], ...] = ()

    def between(self, start: int, end: int) -> str:
        """The document's text between two offsets in it."""
        return self.text[start - self.start : end - self.start]

    def holds(self, said: str, *, at: int) -> bool:
        """Whether the document's text says this at an offset."""
        return at >= self.start and self.text.startswith(said, at - self.start)

    def page_at(self, offset: int) -> int | None:
        """The page on which the character at an offset of the document stands; before the first passage, that of its beginning."""
        before = [place for place in self.pages if place[0] <= offset] or [*self.pages[:1]]
        return page_at(before[-1][1], before[-1][2], offset - before[-1][0]) if before else None

    def joined(self, following: Surroundings, *, at: int) -> Surroundings:
        """This up to an offset that both hold, and the following from there."""
        text = self.between(self.start, at) + following.between(at, following.end)
        pages = tuple(sorted({*self.pages, *following.pages}))
        return replace(self, end=following.end, text=text, cut_after=following.cut_after, pages=pages)


def read_surroundings(passages: Sequence[int], scope: Scope) -> dict[int, Surroundings]:
    """What stands around these passages, by their ids: of those that are published and that the scope may see at this moment.

    One query; a second one for the pages, where the documents have any.
    """
    if not passages:
        return {}
    seen = filters_for(groups=scope.groups)
    shown = [row for row in _rows(passages, scope) if seen.admits(facts_of(Document(access=row.access))) and row.holds_passage]
    pages = _pages([row for row in shown if row.page is not None])
    return {
        row.passage: Surroundings(
            start=row.near_start,
            end=row.near_end,
            text=row.near,
            cut_before=row.near_start > row.section_start,
            cut_after=row.near_end < row.section_end,
            pages=tuple((start, page, later) for document, start, page, later in pages if document == row.document),
        )
        for row in shown
    }


class _Row(NamedTuple):
    passage: int
    document: int
    access: list[str]
    text: str
    start: int
    page: int | None
    section_start: int
    section_end: int
    near_start: int
    near_end: int
    near: str

    @property
    def holds_passage(self) -> bool:
        """Whether offsets and text belong together still: a document may be changing."""
        return self.near.startswith(self.text, self.start - self.near_start)


def _rows(passages: Sequence[int], scope: Scope) -> list[_Row]:
    found = Passage.objects.filter(pk__in=passages, document__kb__in=scope.kb_ids, document__status=Document.Status.PUBLISHED)
    near = found.annotate(
        near_start=Greatest(F("section_start"), F("start") - REACH), near_end=Least(F("section_end"), F("end") + REACH)
    ).annotate(near=Substr("document__text", F("near_start") + 1, F("near_end") - F("near_start")))
    plain = ("pk", "document_id", "document__access", "text", "start", "page", "section_start", "section_end")
    return [_Row(*row) for row in near.values_list(*plain, "near_start", "near_end", "near")]


def _pages(rows: Sequence[_Row]) -> list[tuple[int, int, int, str]]:
    """(document, start, first page, later pages) of the passages in these surroundings, in their order."""
    if not rows:
        return []
    inside = [Q(document=row.document, start__lt=row.near_end, end__gt=row.near_start) for row in rows]
    found = Passage.objects.filter(reduce(or_, inside), page__isnull=False).order_by("start")
    return list(found.values_list("document_id", "start", "page", "later_pages"))
