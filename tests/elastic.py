"""A real Elasticsearch for tests: names of its own for each test, and nothing left over."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from elasticsearch import Elasticsearch

from apps.retrieval.indexes.elastic_connection import ElasticConnection, open_client
from core.config import Settings


def elasticsearch_url() -> str:
    """The Elasticsearch that tests may use, else a skip that says how to give one."""
    url = os.environ.get("WENLU_TEST_ELASTICSEARCH_URL")
    if not url:
        pytest.skip("needs Elasticsearch: set WENLU_TEST_ELASTICSEARCH_URL=http://host:port")
    return url


@contextmanager
def elastic_connection() -> Iterator[ElasticConnection]:
    """A connection whose indexes are dropped at the end."""
    client, prefix = open_client(Settings(elasticsearch_url=elasticsearch_url())), f"t{uuid.uuid4().hex[:12]}"
    connection = ElasticConnection(client, prefix=prefix, timeout_s=10.0)
    try:
        yield connection
    finally:
        drop_indexes(client, prefix)
        connection.close()


def drop_indexes(client: Elasticsearch, prefix: str) -> None:
    """Drops every index whose name begins so."""
    names = list(client.indices.get(index=f"{prefix}-*", features=["aliases"]))
    if names:
        client.indices.delete(index=names)
