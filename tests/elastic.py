"""A real Elasticsearch for tests: names of its own for each test, and nothing left over."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

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


class Gate:
    """A port in front of Elasticsearch that can be shut: whoever is connected is cut off, whoever comes is turned away."""

    def __init__(self) -> None:
        parts = urlsplit(elasticsearch_url())
        self._server = (parts.hostname or "127.0.0.1", parts.port or 9200)
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._accept()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def shut(self) -> None:
        """As if the server was killed."""
        for one in [self._listener, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def reopen(self) -> None:
        """As if it was started again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accept()

    def _accept(self) -> None:
        threading.Thread(target=self._forward_all, args=(self._listener,), daemon=True).start()

    def _forward_all(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._server)
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
