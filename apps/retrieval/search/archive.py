"""What does a knowledge base hold, newest first? The published documents without a question, counted by month, category, tag and author."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import orjson
from django.db.models import Q, QuerySet
from django.db.models.functions import Substr

from apps.retrieval.documents.selectors import having, listing
from apps.retrieval.models import Document
from apps.retrieval.search.facets import most_frequent
from apps.retrieval.search.params import DEFAULT_K, Params, day_param, k_param, month_param, values_param
from core.errors import InvalidRequest
from core.types import JSONDict, JSONValue, Scope

SUMMARY_CHARS = 240
MAX_MONTHS = 240
MAX_REMEMBERED = 500
COUNT_AGAIN_AFTER = 20  # times as long as counting took: at most a twentieth of the time goes into it
_LISTS = ("category", "language", "author")


@dataclass(frozen=True, kw_only=True, slots=True)
class Browse:
    """A checked look into an archive: what narrows it, and the place (day, primary key) of the last document before."""

    k: int = DEFAULT_K
    chosen: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tags: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    after: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many documents there are, and how many have each value."""

    total: int = 0
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def read_browse(params: Params) -> Browse:
    """What a query string asks for; the filters are those of a search. Raises InvalidRequest that names the parameter."""
    first, last = month_param(params.get("month", ""))
    since, until = day_param("since", params.get("since", "")), day_param("until", params.get("until", ""))
    chosen = ((name, tuple(values_param(params, name))) for name in _LISTS)
    return Browse(
        k=k_param(params),
        chosen=tuple((name, values) for name, values in chosen if values),
        tags=tuple(values_param(params, "tags")),
        since=max((day for day in (first, since) if day), default=None),
        until=min((day for day in (last, until) if day), default=None),
        after=_after(params.get("cursor", "")),
    )


def archive_page(browse: Browse, scope: Scope) -> JSONDict:
    """One page of documents as hits without a score, all of them counted, and the cursor of the next page."""
    page = _listed(_documents(browse, scope), browse)
    more, page = len(page) > browse.k, page[: browse.k]
    counts = _count(browse, scope)
    facets: JSONDict = {
        name: [{"value": value, "count": count} for value, count in values.items()] for name, values in counts.facets.items()
    }
    hits: list[JSONValue] = [_hit(document) for document in page]
    following = _cursor(page[-1]) if more else None
    return {"hits": hits, "total": counts.total, "facets": facets, "next": following, "degraded": False}


def readable(scope: Scope) -> QuerySet[Document]:
    """The published documents within the scope that its groups may see."""
    documents = Document.objects.filter(kb__in=scope.kb_ids, status=Document.Status.PUBLISHED)
    return documents if scope.groups is None else listing(documents, "access", scope.groups, or_nothing=True)


def _documents(browse: Browse, scope: Scope) -> QuerySet[Document]:
    rows = readable(scope)
    for name, values in browse.chosen:
        rows = having(rows, name, values)
    rows = listing(rows, "tags", browse.tags) if browse.tags else rows
    rows = rows.filter(date__gte=browse.since) if browse.since else rows
    return rows.filter(date__lte=browse.until) if browse.until else rows


def _listed(rows: QuerySet[Document], browse: Browse) -> list[Document]:
    """The documents of the page and one more: those with a date, newest first, then those without.

    Two walks along an index: with one order of both, PostgreSQL sorts the whole base (its indexes put what is empty first),
    and SQLite all that follows the cursor.
    """
    shown = rows.annotate(beginning=Substr("text", 1, SUMMARY_CHARS)).defer("text").order_by("-date", "-pk")
    day, pk = browse.after or (date.max.toordinal(), 0)
    at, wanted = date.fromordinal(day or 1), browse.k + 1
    dated = shown.filter(Q(date__lt=at) | Q(pk__lt=pk), date__lte=at) if browse.after else shown.filter(date__isnull=False)
    found = list(dated[:wanted]) if day else []
    if len(found) == wanted or browse.since or browse.until:
        return found
    undated = shown.filter(date=None) if day else shown.filter(date=None, pk__lt=pk)
    return [*found, *undated[: wanted - len(found)]]


def _hit(document: Document) -> JSONDict:
    return {
        "id": None,
        "document": document.external_id,
        "title": document.title,
        "text": document.beginning,
        "score": None,
        "highlights": [],
        "start": 0,
        "end": 0,
        "heading": "",
        "page": None,
        "page_end": None,
        "url": document.url,
        "date": document.date.isoformat() if document.date else None,
        "category": document.category,
        "tags": list(document.tags),
        "author": document.author,
        "language": document.language,
    }


@dataclass(frozen=True, slots=True)
class _Counted:
    """Counts, the revisions that they are of, when they were read, and how long that took."""

    counts: Counts
    revisions: tuple[int, ...]
    at: float
    took_s: float

    def holds(self, revisions: tuple[int, ...]) -> bool:
        """Whether they may be shown: nothing has changed since, or counting again would take more than its share of the time."""
        return self.revisions == revisions or time.monotonic() - self.at < self.took_s * COUNT_AGAIN_AFTER


def _count(browse: Browse, scope: Scope) -> Counts:
    """How many documents the filters leave, remembered: while a large base is being filled, its counts may be some seconds old."""
    key = (scope.kb_ids, scope.groups, replace(browse, k=DEFAULT_K, after=None))
    with _lock:
        known = _known.get(key)
    if known is not None and known.holds(scope.revisions):
        return known.counts
    began = time.monotonic()
    counts = _read_counts(_documents(browse, scope).order_by())
    with _lock:
        _known[key] = _Counted(counts, scope.revisions, began, time.monotonic() - began)
        _known.move_to_end(key)
        while len(_known) > MAX_REMEMBERED:
            _known.popitem(last=False)
    return counts


_known: OrderedDict[object, _Counted] = OrderedDict()
_lock = threading.Lock()


def forget_archive() -> None:
    """Counts anew from the next look on: for tests, where revisions begin again."""
    _known.clear()


def _read_counts(rows: QuerySet[Document]) -> Counts:
    """Everything is counted in one pass over the base."""
    counters: dict[str, Counter[str]] = {name: Counter() for name in (*_LISTS, "tags", "month")}
    total = 0
    for category, language, author, tags, day in rows.values_list(*_LISTS, "tags", "date").iterator(chunk_size=5000):
        total += 1
        counters["category"][category] += 1
        counters["language"][language] += 1
        counters["author"][author] += 1
        counters["tags"].update(tags)
        counters["month"][day.isoformat()[:7] if day else ""] += 1
    for counter in counters.values():
        del counter[""]
    months = dict(sorted(counters.pop("month").items(), reverse=True)[:MAX_MONTHS])
    return Counts(total=total, facets={**{name: most_frequent(counter) for name, counter in counters.items()}, "month": months})


def _cursor(document: Document) -> str:
    place = [document.date.toordinal() if document.date else 0, document.pk]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _after(cursor: str) -> tuple[int, int] | None:
    if not cursor:
        return None
    try:
        day, pk = orjson.loads(base64.urlsafe_b64decode(cursor[:200]))
        if not (isinstance(day, int) and isinstance(pk, int) and 0 <= day <= date.max.toordinal() and 0 <= pk < 2**63):
            raise ValueError(cursor)
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidRequest("`cursor` must be the `next` of an earlier page of the same search.", field="cursor") from error
    return day, pk
