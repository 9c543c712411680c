"""What can a document be filtered by? One place makes the terms that entries carry and those that a search asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from functools import lru_cache

from apps.retrieval.models import Document
from core.text import clean_text
from core.types import Facts, Filters

EVERYONE = "access=*"


def facts_of(document: Document) -> Facts:
    """What the entries of this document can be found by."""
    single = [_term(name, value) for name, value in _single(document) if value]
    access = [_term("access", group) for group in document.access] or [EVERYONE]
    terms = dict.fromkeys([*single, *(_term("tag", tag) for tag in document.tags), *access])
    return Facts(terms=tuple(terms), day=document.date.toordinal() if document.date else None)


def filters_for(
    *,
    groups: Collection[str] | None,
    categories: Iterable[str] = (),
    tags: Iterable[str] = (),
    languages: Iterable[str] = (),
    authors: Iterable[str] = (),
    since: date | None = None,
    until: date | None = None,
) -> Filters:
    """What an entry must be: of one of the values of every name that is given, from `since` to `until` (both inclusive).

    `groups` are those that the caller belongs to: what has an access list is found by its groups only. None is for those
    who may read the whole knowledge base.
    """
    wanted = (("category", categories), ("tag", tags), ("lang", languages), ("author", authors))
    any_of = [group for name, values in wanted if (group := frozenset(_term(name, value) for value in values))]
    if groups is not None:
        any_of.append(frozenset({EVERYONE, *(_term("access", group) for group in groups)}))
    return Filters(
        any_of=tuple(any_of),
        since_day=since.toordinal() if since else None,
        until_day=until.toordinal() if until else None,
    )


@lru_cache(maxsize=10_000)  # asked for each hit of a search, of lists that are mostly the same
def is_open_to(groups: tuple[str, ...] | None, access: tuple[str, ...]) -> bool:
    """Whether an access list lets these groups in, as `filters_for` would: for what an index says that may lag behind."""
    return (
        groups is None or not access or not {_term("access", group) for group in groups}.isdisjoint(_term("access", one) for one in access)
    )


def filters_in_all(filters: Iterable[Filters]) -> Filters:
    """What an entry must be to pass every one of these filters."""
    every = tuple(filters)
    since = [one.since_day for one in every if one.since_day is not None]
    until = [one.until_day for one in every if one.until_day is not None]
    any_of = tuple(group for one in every for group in one.any_of)
    return Filters(any_of=any_of, since_day=max(since, default=None), until_day=min(until, default=None))


def _single(document: Document) -> list[tuple[str, str]]:
    return [("category", document.category), ("lang", document.language), ("author", document.author)]


def _term(name: str, value: str) -> str:
    """Upper and lower case, and blanks around, make no difference."""
    return f"{name}={clean_text(value).casefold()}"
