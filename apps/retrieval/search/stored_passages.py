"""Which passages may be shown, and what belongs to each? Read from the database at every search: what is unpublished, or closed to the reader, is gone at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from django.db import connection

from apps.retrieval.documents.facts import is_open_to
from apps.retrieval.documents.page_numbers import page_at
from apps.retrieval.models import Document, PassageQuestion
from apps.retrieval.selectors import marks
from core.remembered import Remembered
from core.types import EntryKind, Scope

KINDS = (EntryKind.PASSAGE, EntryKind.QUESTION)
REMEMBER_S = 3600.0  # the key holds the revisions: what is remembered cannot be out of date


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPassage:
    """A passage that may be shown now, with what searches and answers need of its document. Offsets are in the document's text."""

    id: int
    document_id: int
    document: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    page: int | None
    later_pages: str
    url: str
    language: str
    author: str
    category: str
    tags: tuple[str, ...]
    date: date | None

    def page_at(self, offset: int) -> int | None:
        """The page on which the character at this offset of the text stands."""
        return page_at(self.page, self.later_pages, offset)


class PassageFacts(NamedTuple):
    """What a passage that may be shown now is counted, grouped and sorted by."""

    document_id: int
    category: str
    tags: tuple[str, ...]
    language: str
    author: str
    date: date | None


def read_facts(ids: Sequence[int], scope: Scope) -> dict[int, PassageFacts]:
    """Of the passages with these ids those that `read_passages` would give, by id, with their facts alone: a quarter of the work for a hundred."""
    rows = _published("p.id, p.document_id, d.category, d.tags, d.language, d.author, d.date", ids, scope, by_index=True)
    return {
        id: PassageFacts(document, category, _listed(tags), language, author, _day(day))
        for id, document, category, tags, language, author, day in rows
    }


def read_passages(ids: Sequence[int], scope: Scope) -> dict[int, StoredPassage]:
    """The passages with these ids that are within the scope, published, and open to its groups at this moment, by id."""
    return {row[0]: _stored(row) for row in _published(_COLUMNS, ids, scope)}


def passages_of_questions(ids: Sequence[int]) -> dict[int, int]:
    """The passage that each extra question belongs to."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, passage_id FROM retrieval_passagequestion WHERE id IN ({marks(ids)})", list(ids))
        return dict(cursor.fetchall())


def texts_of_questions(ids: Sequence[int]) -> dict[int, str]:
    """The text of each extra question."""
    return dict(PassageQuestion.objects.filter(pk__in=ids).values_list("pk", "text")) if ids else {}


def kinds_in(scope: Scope) -> frozenset[EntryKind]:
    """Which kinds of entries of documents a scope has: where there are none, nothing need be searched. One query for each change."""
    return _kinds.get((scope.kb_ids, scope.revisions)) if scope.kb_ids else frozenset()


def forget_kinds() -> None:
    """Asks anew from the next search on: for tests, where revisions begin again."""
    _kinds.clear()


def _read_kinds(key: tuple[tuple[int, ...], tuple[int, ...]]) -> frozenset[EntryKind]:
    kb_ids = key[0]
    there = f"EXISTS (SELECT 1 FROM retrieval_entry WHERE kb_id IN ({marks(kb_ids)}) AND kind = %s)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join([there] * len(KINDS))}", [value for kind in KINDS for value in (*kb_ids, kind.value)])
        return frozenset(kind for kind, found in zip(KINDS, cursor.fetchone(), strict=True) if found)


_kinds: Remembered[tuple[tuple[int, ...], tuple[int, ...]], frozenset[EntryKind]] = Remembered(_read_kinds, keep_s=lambda: REMEMBER_S)


def _published(columns: str, ids: Sequence[int], scope: Scope, *, by_index: bool = False) -> list[list[Any]]:
    """These columns (ours, never a caller's text) of the passages `p` and their documents `d` that may be shown now.

    The indexes ask for access lists too, but one that cannot follow (a full disk, a server that takes no writes) has those of before.
    `by_index` says that two indexes hold all of them: SQLite must be told, or it goes by the primary keys to the rows.
    Plain SQL, as in `apps.faq.selectors`: CROSS JOIN keeps SQLite from starting at all documents of the base.
    """
    if not ids or not scope.kb_ids:
        return []
    passages, documents = _INDEXES if by_index and connection.vendor == "sqlite" else ("", "")
    query = f"""
        SELECT d.access, {columns} FROM retrieval_passage p {passages} CROSS JOIN retrieval_document d {documents}
        WHERE p.id IN ({marks(ids)}) AND d.id = p.document_id AND d.kb_id IN ({marks(scope.kb_ids)}) AND d.status = %s
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [*ids, *scope.kb_ids, str(Document.Status.PUBLISHED)])
        return [row for access, *row in cursor.fetchall() if is_open_to(scope.groups, _listed(access))]


def _stored(row: Sequence[Any]) -> StoredPassage:
    *plain, tags, day = row
    return StoredPassage(**dict(zip(_PLAIN, plain, strict=True)), tags=_listed(tags), date=_day(day))


def _listed(tags: str | bytes | list[str]) -> tuple[str, ...]:
    """SQLite gives JSON as text, PostgreSQL as what it holds."""
    return tuple(tags or ()) if isinstance(tags, list) else _parsed(tags)


@lru_cache(maxsize=10_000)
def _parsed(tags: str | bytes) -> tuple[str, ...]:
    return tuple(orjson.loads(tags))


def _day(day: str | date | None) -> date | None:
    """SQLite gives dates as text, PostgreSQL as dates."""
    return date.fromisoformat(day) if isinstance(day, str) else day


_INDEXES = "INDEXED BY passage_document", "INDEXED BY document_facts"
_PLAIN = [
    "id",
    "document_id",
    "document",
    "title",
    "heading",
    "text",
    "start",
    "end",
    "page",
    "later_pages",
    "url",
    "language",
    "author",
    "category",
]
_COLUMNS = """p.id, p.document_id, d.external_id, d.title, p.heading, p.text, p.start, p."end", p.page, p.later_pages,
    d.url, d.language, d.author, d.category, d.tags, d.date"""
