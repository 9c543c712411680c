"""How do many changes reach Elasticsearch, none late, and without drowning it?

Bounded requests, and patience where it says that it has enough. A process may stop for any time between the look at its lease
and its request, so Elasticsearch itself decides what is late (external versions, `external_gte`): a document is numbered by the
revision of the knowledge base that it is as of, and one that is as of a later revision stays. What is deleted leaves an empty
document, which no search finds: of a real deletion Elasticsearch forgets the number within a minute (`index.gc_deletes`).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from apps.retrieval.indexes.elastic_connection import ElasticConnection
from core.errors import IndexMismatch, SearchUnavailable
from core.types import JSONDict

MAX_BYTES = 5 * 2**20
MAX_ACTIONS = 2000
PATIENCE_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
TRY_AGAIN = frozenset({429, 503})
LATE = "version_conflict_engine_exception"
GONE = b"{}"
COUNTED = 2**40  # above what Elasticsearch counted itself in indexes that were written without revisions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Action:
    """What a bulk request puts under the id of an entry, as of a revision: a document (JSON), or `GONE`."""

    id: int
    document: bytes
    as_of: int

    @property
    def lines(self) -> list[bytes]:
        """As the wire wants it."""
        return [orjson.dumps({"index": {"_id": str(self.id), **version(self.as_of)}}), self.document]


def version(as_of: int) -> dict[str, Any]:
    """What makes Elasticsearch refuse a document that is as of an earlier revision than the one it has."""
    return {"version": COUNTED + as_of, "version_type": "external_gte"}


def send_bulk(connection: ElasticConnection, alias: str, actions: Iterable[Action], *, before_each: Callable[[], None]) -> None:
    """Sends everything, in requests of at most 5 MiB and 2,000 actions, one after the other; visible only after a refresh.

    Requests and single actions that are answered 429 or 503 are sent again after a pause that doubles, for a minute at most:
    then SearchUnavailable. What comes late is left out. `before_each` is called before every request. `alias` is an index's own:
    no index is made where it is gone, but SearchUnavailable raised. Raises IndexMismatch where the index refuses a document.
    """
    for part in bounded(actions):
        pause, end = FIRST_PAUSE_S, time.monotonic() + PATIENCE_S
        while part:
            before_each()
            part = _refused(connection, alias, part, last=time.monotonic() > end)
            if part:
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_S)


def bounded(actions: Iterable[Action]) -> Iterator[list[Action]]:
    """The actions in lists that one request can carry."""
    part: list[Action] = []
    size = 0
    for action in actions:
        grown = sum(map(len, action.lines))
        if part and (size + grown > MAX_BYTES or len(part) == MAX_ACTIONS):
            yield part
            part, size = [], 0
        part.append(action)
        size += grown
    if part:
        yield part


def _refused(connection: ElasticConnection, alias: str, part: list[Action], *, last: bool) -> list[Action]:
    """Sends one request. Returns the actions to send again; none where everything is done."""
    lines: list[Any] = [line for action in part for line in action.lines]
    try:
        answer = connection.patient(lambda client: client.bulk(index=alias, operations=lines, require_alias=True))
    except SearchUnavailable as error:
        if last or error.details.get("reason") != "overloaded":
            raise
        return part
    return _to_repeat(alias, part, [next(iter(item.values())) for item in answer["items"]], last=last) if answer["errors"] else []


def _to_repeat(alias: str, part: list[Action], items: list[JSONDict], *, last: bool) -> list[Action]:
    again, late = [], 0
    for action, item in zip(part, items, strict=True):
        error = item.get("error")
        if error and item["status"] in TRY_AGAIN and not last:
            again.append(action)
        elif error and _kind(error) == LATE:
            late += 1
        elif error:
            raise _refusal(alias, action.id, error)
    if late:
        log.warning("documents came late and were left out index=%s documents=%d", alias, late)
    return again


def _kind(error: object) -> object:
    return error.get("type") if isinstance(error, dict) else error


def _refusal(index: str, id: int, error: object) -> SearchUnavailable | IndexMismatch:
    kind = _kind(error)
    if kind in ("es_rejected_execution_exception", "unavailable_shards_exception", "index_not_found_exception"):
        return SearchUnavailable(f"Elasticsearch could not take entry {id} of {index} ({kind}).")
    message = f"Elasticsearch refuses entry {id} of {index} ({kind}). Run `manage.py reindex` to build the index anew."
    return IndexMismatch(message, repair="manage.py reindex", index=index)
