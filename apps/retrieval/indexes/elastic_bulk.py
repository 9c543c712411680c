"""How do many changes reach Elasticsearch without drowning it? Bounded requests, and patience where it says that it has enough."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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


@dataclass(frozen=True, slots=True)
class Action:
    """One line or two of a bulk request: `document` (JSON) put under the id, or None to delete what is there."""

    id: str
    document: bytes | None

    @property
    def lines(self) -> list[bytes]:
        """As the wire wants it."""
        head = orjson.dumps({"delete" if self.document is None else "index": {"_id": self.id}})
        return [head] if self.document is None else [head, self.document]


def send_bulk(
    connection: ElasticConnection, index: str, actions: Iterable[Action], *, alias: bool, before_each: Callable[[], None] = lambda: None
) -> None:
    """Sends everything, in requests of at most 5 MiB and 2,000 actions, one after the other; visible only after a refresh.

    Requests and single actions that are answered 429 or 503 are sent again after a pause that doubles, for a minute at most:
    then SearchUnavailable. `alias` refuses to create an index of that name where the alias is gone. `before_each` is called
    before every request. Raises IndexMismatch where the index refuses a document.
    """
    for part in bounded(actions):
        pause, end = FIRST_PAUSE_S, time.monotonic() + PATIENCE_S
        while part:
            before_each()
            part = _refused(connection, index, part, alias=alias, last=time.monotonic() > end)
            if part:
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_S)


def actions_of(waiting: Mapping[int, bytes | None]) -> Iterator[Action]:
    """Each document as an action, by id."""
    return (Action(str(entry_id), document) for entry_id, document in waiting.items())


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


def _refused(connection: ElasticConnection, index: str, part: list[Action], *, alias: bool, last: bool) -> list[Action]:
    """Sends one request. Returns the actions to send again; none where everything is done."""
    lines: list[Any] = [line for action in part for line in action.lines]
    try:
        answer = connection.patient(lambda client: client.bulk(index=index, operations=lines, require_alias=alias))
    except SearchUnavailable as error:
        if last or error.details.get("reason") != "overloaded":
            raise
        return part
    return _to_repeat(index, part, [next(iter(item.values())) for item in answer["items"]], last=last) if answer["errors"] else []


def _to_repeat(index: str, part: list[Action], items: list[JSONDict], *, last: bool) -> list[Action]:
    again = []
    for action, item in zip(part, items, strict=True):
        error = item.get("error")
        if error and item["status"] in TRY_AGAIN and not last:
            again.append(action)
        elif error:
            raise _refusal(index, action.id, error)
    return again


def _refusal(index: str, id: str, error: object) -> SearchUnavailable | IndexMismatch:
    kind = error.get("type") if isinstance(error, dict) else error
    if kind in ("es_rejected_execution_exception", "unavailable_shards_exception", "index_not_found_exception"):
        return SearchUnavailable(f"Elasticsearch could not take entry {id} of {index} ({kind}).")
    message = f"Elasticsearch refuses entry {id} of {index} ({kind}). Run `manage.py reindex` to build the index anew."
    return IndexMismatch(message, repair="manage.py reindex", index=index)
