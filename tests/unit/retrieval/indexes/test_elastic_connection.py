"""What do callers see while Elasticsearch is slow, full, away or locked? A small server that answers by script stands in for it."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from apps.retrieval.indexes import elastic_bulk
from apps.retrieval.indexes.breaker import CircuitBreaker
from apps.retrieval.indexes.elastic_bulk import GONE, Action, bounded, send_bulk
from apps.retrieval.indexes.elastic_connection import ElasticConnection, open_client
from core.config import Settings
from core.errors import IndexMismatch, SearchUnavailable

Answer = tuple[int, dict[str, object]]
DONE: Answer = (200, {"errors": False, "items": []})
FULL: Answer = (429, {"error": {"type": "es_rejected_execution_exception"}, "status": 429})


class ScriptedServer(ThreadingHTTPServer):
    """Gives its answers in order, then the last one for ever; keeps what it was sent. `hold` makes it wait."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = [DONE]
        self.bodies: list[bytes] = []
        self.authorizations: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    @property
    def url(self) -> str:
        return f"http://reader:secret@127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_PUT(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.authorizations.append(self.headers["Authorization"])
        self.server.hold.wait(5)
        status, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET = do_PUT  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield scripted
    scripted.hold.set()
    scripted.shutdown()
    scripted.server_close()


@pytest.fixture
def connection(server: ScriptedServer) -> Iterator[ElasticConnection]:
    client = open_client(Settings(elasticsearch_url=server.url))
    connection = ElasticConnection(client, prefix="t", timeout_s=0.2, breaker=CircuitBreaker(failures=2, pause_s=60))
    yield connection
    connection.close()


def search(connection: ElasticConnection) -> object:
    return connection.quick(lambda client: client.msearch(searches=[{}, {}]))


def reason(connection: ElasticConnection) -> object:
    with pytest.raises(SearchUnavailable) as caught:
        search(connection)
    assert "secret" not in caught.value.message
    assert caught.value.retryable
    return caught.value.details["reason"]


def test_a_server_that_is_away_is_asked_twice_and_then_left_alone() -> None:
    client = open_client(Settings(elasticsearch_url="http://reader:secret@127.0.0.1:9"))
    connection = ElasticConnection(client, prefix="t", timeout_s=0.2, breaker=CircuitBreaker(failures=2, pause_s=60))
    assert [reason(connection) for _ in range(4)] == ["connection", "connection", "paused", "paused"]


def test_a_server_that_hangs_holds_callers_for_the_timeout_only(server: ScriptedServer, connection: ElasticConnection) -> None:
    server.hold.clear()
    began = time.monotonic()
    assert [reason(connection) for _ in range(20)] == ["timeout", "timeout", *["paused"] * 18]
    assert time.monotonic() - began < 15


def test_it_is_used_again_once_it_answers(server: ScriptedServer, connection: ElasticConnection) -> None:
    server.hold.clear()
    assert [reason(connection), reason(connection), reason(connection)] == ["timeout", "timeout", "paused"]
    server.hold.set()
    connection._breaker._next_try = 0.0  # the pause is over
    assert search(connection)
    assert search(connection)


def test_a_full_server_and_refused_credentials_do_not_stop_the_next_search(server: ScriptedServer, connection: ElasticConnection) -> None:
    server.answers = [FULL, FULL, FULL, (401, {"error": {"type": "security_exception"}, "status": 401}), DONE]
    assert [reason(connection) for _ in range(4)] == ["overloaded", "overloaded", "overloaded", "refused"]
    assert search(connection)


def test_credentials_come_from_the_address_or_are_an_api_key(server: ScriptedServer, connection: ElasticConnection) -> None:
    search(connection)
    by_key = open_client(Settings(elasticsearch_url=f"http://127.0.0.1:{server.server_address[1]}", elasticsearch_api_key="a2V5"))
    by_key.msearch(searches=[{}, {}])
    by_key.close()
    assert server.authorizations == [f"Basic {base64.b64encode(b'reader:secret').decode()}", "ApiKey a2V5"]


def send(connection: ElasticConnection, *actions: Action) -> None:
    send_bulk(connection, "i", actions, before_each=lambda: None)


def test_what_comes_late_is_left_out_and_the_rest_of_the_request_sent_again(
    server: ScriptedServer, connection: ElasticConnection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(elastic_bulk, "FIRST_PAUSE_S", 0.001)
    late = {"index": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}}
    full = {"index": {"status": 429, "error": {"type": "es_rejected_execution_exception"}}}
    server.answers = [(200, {"errors": True, "items": [late, full]}), DONE]
    send(connection, Action(1, b"{}", 5), Action(2, b"{}", 5))
    assert [body.count(b'"_id"') for body in server.bodies] == [2, 1]
    assert "late and were left out index=i documents=1" in caplog.text


def test_a_bulk_request_that_is_too_much_is_sent_again(
    server: ScriptedServer, connection: ElasticConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elastic_bulk, "FIRST_PAUSE_S", 0.001)
    taken, refused = {"index": {"status": 201}}, {"index": {"status": 429, "error": {"type": "es_rejected_execution_exception"}}}
    server.answers = [FULL, (200, {"errors": True, "items": [taken, refused]}), DONE]
    send(connection, Action(1, b'{"a":1}', 5), Action(2, b'{"a":2}', 5))
    assert [body.count(b'"_id"') for body in server.bodies] == [2, 2, 1]
    assert b'"2"' in server.bodies[2]


def test_bulk_patience_has_an_end(server: ScriptedServer, connection: ElasticConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic_bulk, "PATIENCE_S", 0.0)
    server.answers = [FULL]
    with pytest.raises(SearchUnavailable, match="cannot take"):
        send(connection, Action(1, b"{}", 5))


def test_a_document_that_is_refused_for_good_is_a_mismatch(server: ScriptedServer, connection: ElasticConnection) -> None:
    item = {"index": {"status": 400, "error": {"type": "document_parsing_exception"}}}
    server.answers = [(200, {"errors": True, "items": [item]})]
    with pytest.raises(IndexMismatch, match="entry 7 of i"):
        send(connection, Action(7, b"{}", 5))


def test_bulk_requests_are_bounded_by_bytes_and_by_count() -> None:
    long = b"x" * (elastic_bulk.MAX_BYTES // 2)
    assert [len(part) for part in bounded([Action(n, long, 0) for n in range(3)])] == [1, 1, 1]
    assert [len(part) for part in bounded([Action(n, GONE, 0) for n in range(4001)])] == [2000, 2000, 1]


def test_settings_that_ask_for_elasticsearch_without_an_address_are_refused() -> None:
    with pytest.raises(ValueError, match="QA_ELASTICSEARCH_URL is empty"):
        Settings(lexical_index="apps.retrieval.indexes.elastic_lexical.ElasticLexicalIndex")
    assert "secret" not in repr(Settings(elasticsearch_url="http://reader:secret@search:9200", elasticsearch_api_key="secret"))
