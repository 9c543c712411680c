"""What does a search's query string ask for? Checked parameters, and the cursor of a page."""

from __future__ import annotations

import base64
import binascii
import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar

import orjson

from apps.retrieval.documents.facts import filters_for, filters_in_all
from apps.retrieval.rows.row_fields import count_of
from core.config import get_settings
from core.errors import InvalidRequest
from core.text import clean_text
from core.types import Filters, SearchMode

DEFAULT_K, MAX_K = 10, 100
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


def k_param(params: Params) -> int:
    """How many hits a page has. Raises InvalidRequest."""
    return count_of(params.get("k", str(DEFAULT_K)), "k", MAX_K)


def values_param(params: Params, name: str) -> list[str]:
    """The values of a filter. Raises InvalidRequest."""
    values = [value for raw in params.getlist(name) if (value := clean_text(raw))]
    if len(values) > MAX_FILTER_VALUES or any(len(value) > MAX_VALUE_CHARS for value in values):
        raise InvalidRequest(f"`{name}` takes at most {MAX_FILTER_VALUES} values of {MAX_VALUE_CHARS} characters.", field=name)
    return values


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


def cursor_of(place: Place) -> str:
    """The `cursor` of the page that begins behind this place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _text(q: str) -> str:
    most = get_settings().max_question_chars
    if len(q) > most:
        raise InvalidRequest(f"`q` has {len(q)} characters; at most {most} are allowed.", field="q", limit=most)
    text = clean_text(q)
    if not text:
        raise InvalidRequest("`q` is empty: say what to search for.", field="q")
    return text


def _choice(kind: type[C], name: str, value: str) -> C:
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(kind)}.", field=name) from error


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
