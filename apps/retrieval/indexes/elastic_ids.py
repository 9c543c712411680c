"""Which entries does an index in Elasticsearch hold? All ids, a page at a time from one point in time."""

from __future__ import annotations

from typing import Any

import elasticsearch

from apps.retrieval.indexes.elastic_connection import ElasticConnection
from core.errors import SearchUnavailable
from core.types import JSONValue

PAGE = 10_000  # the most that Elasticsearch gives at a time


def all_ids(connection: ElasticConnection, alias: str) -> set[int]:
    """Every visible entry's id; none where there is no index. Raises SearchUnavailable where it goes meanwhile."""
    found = set[int]()
    try:
        point = connection.patient(lambda client: client.open_point_in_time(index=alias, keep_alive="1m"))["id"]
    except elasticsearch.NotFoundError:
        return found
    after: list[JSONValue] | None = None
    try:
        while page := _page(connection, point, after):
            found.update(int(hit["sort"][0]) for hit in page)
            after = page[-1]["sort"]
        connection.patient(lambda client: client.close_point_in_time(id=point))
    except elasticsearch.NotFoundError as error:
        raise SearchUnavailable(f"The index {alias} was dropped while it was read.") from error
    return found


def _page(connection: ElasticConnection, point: str, after: list[JSONValue] | None) -> list[Any]:
    answer = connection.patient(
        lambda client: client.search(
            pit={"id": point, "keep_alive": "1m"},
            query={"exists": {"field": "id"}},
            sort=[{"id": "asc"}],
            search_after=after,
            size=PAGE,
            source=False,
            track_total_hits=False,
        )
    )
    return list(answer["hits"]["hits"])
