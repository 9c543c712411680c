"""Fetching from other servers: redirects, sizes, and names that change their address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpcore2
import pytest

from apps.serving import connections
from apps.serving.connections import GuardedBackend, Unreachable, fetch
from core.errors import InvalidRequest
from core.net import AddressRefused, parse_private_hosts
from tests.certificates import certificate_for
from tests.openai_server import Exchange, Script, fails, upstream


@pytest.fixture(autouse=True)
def own_network(configure: Callable) -> None:
    configure(private_hosts="127.0.0.1")


def gives(body: bytes) -> Callable[[Exchange], None]:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, content_type="text/HTML; charset=utf-8")
        exchange.wfile.write(body)

    return answer


def leads_to(location: str) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.head(302, location=location)


def test_a_page_with_where_it_was_found() -> None:
    with upstream(leads_to("/other?x=1"), gives(b"<p>hello</p>")) as script:
        page = fetch(script.url, max_bytes=100)
    assert (page.url, page.content_type, page.body) == (script.url.replace("/v1", "/other?x=1"), "text/html", b"<p>hello</p>")
    assert [path for path, _, _ in script.requests] == ["/v1", "/other?x=1"]


@pytest.mark.parametrize(
    "location", ["http://127.0.0.2/", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://[::1]/"]
)
def test_a_redirect_into_the_own_network_is_not_followed(location: str) -> None:
    with upstream(leads_to(location)) as script, pytest.raises(AddressRefused):
        fetch(script.url, max_bytes=100)
    assert len(script.requests) == 1


def test_a_redirect_without_end_ends() -> None:
    with upstream(leads_to("/v1")) as script, pytest.raises(InvalidRequest, match="leads on"):
        fetch(script.url, max_bytes=100)
    assert len(script.requests) == connections.MAX_REDIRECTS + 1


def test_too_much_and_no_page_are_refused() -> None:
    with upstream(gives(b"x" * 101)) as script, pytest.raises(InvalidRequest, match="longer"):
        fetch(script.url, max_bytes=100)
    with upstream(fails(404)) as script, pytest.raises(InvalidRequest, match="404"):
        fetch(script.url, max_bytes=100)


def test_a_name_is_asked_for_once_and_its_checked_address_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    connected: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["10.0.0.1"]

    def connect(self: object, host: str, *args: object) -> httpcore2.NetworkStream:
        connected.append(host)
        return httpcore2.MockStream([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"])

    monkeypatch.setattr("core.net._lookup", rebinding)
    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", connect)
    assert fetch("http://rebinding.example/", max_bytes=10).body == b"hi"
    assert (asked, connected) == (["rebinding.example"], ["93.184.215.14"])
    with pytest.raises(AddressRefused):
        fetch("http://rebinding.example/", max_bytes=10)


def test_the_next_address_is_tried_where_one_takes_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with upstream(gives(b"hi")) as script:
        port = int(script.url.split(":")[2].split("/")[0])
        monkeypatch.setattr("core.net._lookup", lambda host, port: ["127.0.0.9", "127.0.0.1"])
        backend = GuardedBackend(parse_private_hosts("two.internal"), float("inf"), None)
        backend.connect_tcp("two.internal", port, 5).close()


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], tuple[Path, Path]]]:
    """Makes a certificate that this process trusts: `trust("vllm.internal")`."""

    def make(host: str) -> tuple[Path, Path]:
        files = certificate_for(host, tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
        connections._tls.cache_clear()
        return files

    yield make
    connections._tls.cache_clear()


def at_host(script: Script, host: str) -> str:
    return script.url.replace("http://127.0.0.1", f"https://{host}")


def test_a_certificate_is_checked_against_the_name_and_not_the_address(trust: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.net._lookup", lambda host, port: ["127.0.0.1"])
    with upstream(gives(b"hi"), certificate=trust("vllm.internal")) as script:
        assert fetch(at_host(script, "vllm.internal"), max_bytes=10).body == b"hi"
        with pytest.raises(Unreachable):
            fetch(at_host(script, "other.internal"), max_bytes=10)
    assert len(script.requests) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(trust: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.net._lookup", lambda host, port: ["127.0.0.1"])
    certificate = trust("vllm.internal")
    monkeypatch.delenv("SSL_CERT_FILE")
    connections._tls.cache_clear()
    with upstream(gives(b"hi"), certificate=certificate) as script, pytest.raises(Unreachable):
        fetch(at_host(script, "vllm.internal"), max_bytes=10)
    assert script.requests == []
