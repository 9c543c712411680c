"""How long lists are cut into pages: by cursor, so that what changes meanwhile neither repeats nor hides a row."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Generic, TypeVar

import orjson
from django.db.models import Model, Q, QuerySet
from django.utils.dateparse import parse_datetime

from apps.retrieval.rows.row_fields import count_of
from core.errors import InvalidRequest

MAX_LIMIT = 200
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One page: the items, how many there are in all, and the cursor of the next page or None."""

    items: list[M]
    total: int
    next: str | None


def page_of(rows: QuerySet[M], params: Mapping[str, str]) -> Page[M]:
    """The page that `limit` and `cursor` ask for, of rows ordered by `-updated_at, -pk` (keyset paging)."""
    limit = limit_of(params)
    total = rows.count()
    if cursor := params.get("cursor"):
        at, pk = _decode(cursor)
        rows = rows.filter(Q(updated_at__lt=at) | Q(updated_at=at, pk__lt=pk))
    items = list(rows[: limit + 1])
    more = len(items) > limit
    items = items[:limit]
    return Page(items, total, _encode(items[-1]) if more else None)


def limit_of(params: Mapping[str, str]) -> int:
    """How many rows a page should have."""
    return count_of(params.get("limit", "50"), "limit", MAX_LIMIT)


def _encode(item: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([item.updated_at.isoformat(), item.pk])).decode()


def _decode(cursor: str) -> tuple[Any, int]:
    try:
        at, pk = orjson.loads(base64.urlsafe_b64decode(cursor))
        moment = parse_datetime(at)
        if moment is None or not isinstance(pk, int):
            raise ValueError(cursor)
        moment = moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise InvalidRequest("`cursor` must be the `next` of an earlier page.", field="cursor") from error
    return moment, pk
