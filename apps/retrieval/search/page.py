"""What does one page of search results hold? Checked parameters, hits with snippets, facets, and where the next page begins."""

from __future__ import annotations

import base64
import binascii
import calendar
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cache
from operator import itemgetter
from typing import Protocol, TypeAlias, TypeVar

import orjson

from apps.retrieval.documents.facts import filters_for, filters_in_all
from apps.retrieval.row_fields import count_of
from apps.retrieval.search.facets import MAX_FACET_VALUES, most_frequent
from apps.retrieval.search.highlights import snippets
from apps.retrieval.search.hybrid import PassageHit, Ranked, Ranking, rank_passages, read_hits
from apps.retrieval.search.nearest import document_searches, encode_question_if_possible
from apps.retrieval.search.stored_passages import PassageFacts
from core.config import get_settings
from core.cores import usable_cores
from core.errors import InvalidRequest
from core.gate import Gate
from core.text import clean_text
from core.types import EncodedQuery, Filters, JSONDict, JSONValue, Scope, SearchMode

DEFAULT_K, MAX_K = 10, 100
WINDOW = 100  # hits that are ranked, counted and paged through; who needs more narrows the search
MAX_FILTER_VALUES, MAX_VALUE_CHARS = 50, 200

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
C = TypeVar("C", bound=StrEnum)


class Sort(StrEnum):
    """What comes first."""

    RELEVANCE = "relevance"
    DATE = "date"


class Group(StrEnum):
    """What a hit stands for."""

    PASSAGE = "passage"
    DOCUMENT = "document"


Place: TypeAlias = "tuple[float, float, int]"  # smaller comes first: day or nothing, score, id


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A checked search. `narrowed` has a filter for each parameter that narrows; `after` is the place of the last hit on the page before."""

    text: str
    k: int = DEFAULT_K
    mode: SearchMode = SearchMode.HYBRID
    sort: Sort = Sort.RELEVANCE
    group: Group = Group.PASSAGE
    narrowed: Mapping[str, Filters] = field(default_factory=dict)
    after: Place | None = None

    @property
    def filters(self) -> Filters:
        """All of them together."""
        return filters_in_all(self.narrowed.values())


class Params(Protocol):
    """A query string, such as Django's QueryDict."""

    def get(self, name: str, default: str = ...) -> str:
        """The last value of a parameter."""
        ...

    def getlist(self, name: str) -> list[str]:
        """All values of a parameter."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPage:
    """One page. `total` and `facets` count all hits of the search, `WINDOW` at most; `next` is the cursor of the next page.

    `words_found` says whether any of these hits has a word of the question, as typed or as the query layer reads it.
    """

    text: str
    hits: tuple[PassageHit, ...]
    total: int
    facets: Mapping[str, Mapping[str, int]]
    next: str | None
    degraded: bool
    words_found: bool

    def as_dict(self) -> JSONDict:
        """The answer on the wire."""
        facets: JSONDict = {
            name: [{"value": value, "count": count} for value, count in counts.items()] for name, counts in self.facets.items()
        }
        hits: list[JSONValue] = [_hit(hit, self.text) for hit in self.hits]
        page: JSONDict = {"hits": hits, "total": self.total, "facets": facets, "next": self.next, "degraded": self.degraded}
        return {**page, "words_found": self.words_found}


def read_search(params: Params) -> Search:
    """The search that a query string asks for. Raises InvalidRequest that names the parameter."""
    return Search(
        text=_text(params.get("q", "")),
        k=k_param(params),
        mode=_choice(SearchMode, "mode", params.get("mode", SearchMode.HYBRID.value)),
        sort=_choice(Sort, "sort", params.get("sort", Sort.RELEVANCE.value)),
        group=_choice(Group, "group", params.get("group", Group.PASSAGE.value)),
        narrowed={name: one for name, one in _narrowed(params).items() if one},
        after=_after(params.get("cursor", "")),
    )


def encode_search(search: Search, scope: Scope) -> EncodedQuery | None:
    """The search's question, and what its vector finds where both are done elsewhere; None where no encoder answers in time."""
    return encode_question_if_possible(search.text, document_searches(scope, WINDOW, search.filters))


def search_in_turn(search: Search, encoded: EncodedQuery | None, scope: Scope) -> JSONDict:
    """The page as the wire has it, made by a few threads at a time (`QA_MATCH_THREADS`; by default as many as there are cores)."""
    with search_gate().held():
        return search_page(search, encoded, scope).as_dict()


@cache
def search_gate() -> Gate:
    """Where searches wait for their turn."""
    return Gate(get_settings().match_threads or usable_cores())


def search_page(search: Search, encoded: EncodedQuery | None, scope: Scope) -> SearchPage:
    """The page that comes after the cursor. The cursor is a place in the order, so that new hits shift no page.

    Of all hits only what they are counted and sorted by is read, and the passages of the page in whole.
    """
    found = rank_passages(search.text, encoded, scope, k=WINDOW, filters=search.filters, mode=search.mode)
    ranked = _first_of_documents(found) if search.group is Group.DOCUMENT else found.ranked
    placed = sorted(((_place(one, found.facts, search.sort), one) for one in ranked), key=itemgetter(0))
    following = _following(placed, search.after)
    page = following[: search.k]
    shown = [one for _, one in page]
    return SearchPage(
        text=search.text,
        hits=read_hits(shown, scope),
        total=len(ranked),
        facets=_facets([found.facts[one.scored.id] for one in ranked]),
        next=_cursor(page[-1][0]) if len(following) > len(page) else None,
        degraded=found.degraded,
        words_found=any(one.scored.bm25 > 0 for one in ranked),
    )


def _first_of_documents(found: Ranking) -> list[Ranked]:
    first: dict[int, Ranked] = {}
    for one in found.ranked:
        first.setdefault(found.facts[one.scored.id].document_id, one)
    return list(first.values())


def _following(placed: Sequence[tuple[Place, Ranked]], after: Place | None) -> Sequence[tuple[Place, Ranked]]:
    """What stands behind the last hit of the page before: where that is now, since whatever comes in moves all scores; else by its old place."""
    if after is None:
        return placed
    behind = next((number for number, (place, _) in enumerate(placed, 1) if place[2] == after[2]), None)
    return placed[behind:] if behind is not None else [one for one in placed if one[0] > after]


def _place(one: Ranked, facts: Mapping[int, PassageFacts], sort: Sort) -> Place:
    """Smaller comes first; without a date a hit is older than any."""
    day = facts[one.scored.id].date if sort is Sort.DATE else None
    return (float(-day.toordinal()) if day else 0.0, -one.score, one.scored.id)


def _facets(facts: Sequence[PassageFacts]) -> dict[str, dict[str, int]]:
    """How many hits have each value, the most frequent first; months newest first."""
    months = Counter(one.date.isoformat()[:7] for one in facts if one.date)
    counts = {
        "category": Counter(one.category for one in facts if one.category),
        "tags": Counter(tag for one in facts for tag in one.tags),
        "language": Counter(one.language for one in facts if one.language),
        "author": Counter(one.author for one in facts if one.author),
    }
    facets = {name: most_frequent(counter) for name, counter in counts.items()}
    return {**facets, "month": dict(sorted(months.items(), reverse=True)[:MAX_FACET_VALUES])}


def _hit(hit: PassageHit, text: str) -> JSONDict:
    passage = hit.passage
    return {
        "id": passage.id,
        "document": passage.document,
        "title": passage.title,
        "text": passage.text,
        "score": round(hit.score, 6),
        "highlights": [snippet.as_dict() for snippet in snippets(text, passage.text)],
        "start": passage.start,
        "end": passage.end,
        "heading": passage.heading,
        "page": passage.page,
        "url": passage.url,
        "date": passage.date.isoformat() if passage.date else None,
        "category": passage.category,
        "tags": list(passage.tags),
        "author": passage.author,
        "language": passage.language,
    }


# Parameters


def _text(q: str) -> str:
    most = get_settings().max_question_chars
    if len(q) > most:
        raise InvalidRequest(f"`q` has {len(q)} characters; at most {most} are allowed.", field="q", limit=most)
    text = clean_text(q)
    if not text:
        raise InvalidRequest("`q` is empty: say what to search for.", field="q")
    return text


def k_param(params: Params) -> int:
    """How many hits a page has. Raises InvalidRequest."""
    return count_of(params.get("k", str(DEFAULT_K)), "k", MAX_K)


def _choice(kind: type[C], name: str, value: str) -> C:
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(kind)}.", field=name) from error


def values_param(params: Params, name: str) -> list[str]:
    """The values of a filter. Raises InvalidRequest."""
    values = [value for raw in params.getlist(name) if (value := clean_text(raw))]
    if len(values) > MAX_FILTER_VALUES or any(len(value) > MAX_VALUE_CHARS for value in values):
        raise InvalidRequest(f"`{name}` takes at most {MAX_FILTER_VALUES} values of {MAX_VALUE_CHARS} characters.", field=name)
    return values


def _narrowed(params: Params) -> dict[str, Filters]:
    """A filter for each parameter; who may see what is added by the search itself."""
    first, last = month_param(params.get("month", ""))
    return {
        "category": filters_for(groups=None, categories=values_param(params, "category")),
        "tags": filters_for(groups=None, tags=values_param(params, "tags")),
        "language": filters_for(groups=None, languages=values_param(params, "language")),
        "author": filters_for(groups=None, authors=values_param(params, "author")),
        "since": filters_for(groups=None, since=day_param("since", params.get("since", ""))),
        "until": filters_for(groups=None, until=day_param("until", params.get("until", ""))),
        "month": filters_for(groups=None, since=first, until=last),
    }


def month_param(text: str) -> tuple[date | None, date | None]:
    """The first and the last day of a month, nothing for an empty text. Raises InvalidRequest."""
    first = day_param("month", f"{text}-01" if text else "")
    return first, first and first.replace(day=calendar.monthrange(first.year, first.month)[1])


def day_param(name: str, text: str) -> date | None:
    """A day, None for an empty text. Raises InvalidRequest."""
    if not text:
        return None
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError as error:
        form = "YYYY-MM" if name == "month" else "YYYY-MM-DD"
        raise InvalidRequest(f"`{name}` must be a date as {form}.", field=name) from error


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _after(cursor: str) -> Place | None:
    if not cursor:
        return None
    try:
        day, score, id = orjson.loads(base64.urlsafe_b64decode(cursor[:200]))
        if not (isinstance(day, float) and isinstance(score, float) and isinstance(id, int)):
            raise ValueError(cursor)
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidRequest("`cursor` must be the `next` of an earlier page of the same search.", field="cursor") from error
    return day, score, id
