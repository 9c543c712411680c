"""How does this server speak to another one? Over connections to checked addresses only, that can be cancelled at any moment.

No redirect is followed unasked, no proxy of the environment is used, and nothing is kept between requests: each has a
connection of its own, so that the address it was checked for is the one it goes to.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Event
from typing import Any

import httpcore2

from core.config import get_settings
from core.errors import Cancelled, DeadlineExceeded, InvalidRequest, ModelUnavailable, QAError
from core.net import PrivateHosts, check_redirect, check_url, parse_private_hosts, resolve

TICK_S = 0.1
MAX_ADDRESSES = 4
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long to wait for a connection, for the next bytes, and for everything (`until`, on the monotonic clock); seconds."""

    connect_s: float = 5.0
    read_s: float = 30.0
    until: float = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What an address gave. `url` is where redirects led to, `content_type` without parameters."""

    url: str
    content_type: str
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an address answers, its body still to be read. `url` is where redirects led to; names of headers are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: Iterator[bytes]


class TooManyRedirects(InvalidRequest):
    """An address leads on again and again."""


class Unreachable(ModelUnavailable):
    """The other server could not be reached, or broke off; trying again may help."""


@contextmanager
def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    patience: Patience,
    cancel: Event | None = None,
    needs_tls: bool = False,
) -> Iterator[httpcore2.Response]:
    """The response to one request, its body still to be read with `iter_stream`; the connection is closed at the end.

    Raises AddressRefused, Cancelled within `TICK_S` of the cancel, DeadlineExceeded, and Unreachable for what the network does.
    """
    private = private_hosts()
    target = check_url(url, private, needs_tls=needs_tls)
    parts = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    timeouts = {"connect": patience.connect_s, "read": patience.read_s, "write": patience.read_s, "pool": patience.connect_s}
    backend = GuardedBackend(private, patience.until, cancel)
    sent = {"Accept-Encoding": "identity", "User-Agent": "wenlu", **headers}
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=_tls(), max_connections=1, network_backend=backend) as pool,
            pool.stream(method, parts, headers=list(sent.items()), content=body, extensions={"timeout": timeouts}) as response,
        ):
            yield response
    except httpcore2.TimeoutException as error:
        raise DeadlineExceeded(f"{target.host} did not answer in time.", host=target.host) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        raise Unreachable(f"{target.host} cannot be reached, or broke off: {type(error).__name__}.", host=target.host) from error


@contextmanager
def follow(url: str, *, headers: Mapping[str, str], enter: Callable[[str], Patience], cancel: Event | None = None) -> Iterator[Answer]:
    """The answer that the address leads to; every redirect is checked like the first address.

    `enter` is asked before each address: it says how long to wait there, and may raise. Raises TooManyRedirects, and as `exchange`.
    """
    for _ in range(MAX_REDIRECTS + 1):
        with exchange("GET", url, headers=headers, patience=enter(url), cancel=cancel) as response:
            if response.status not in _REDIRECTS:
                named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reversed(response.headers)}
                yield Answer(url=url, status=response.status, headers=named, body=response.iter_stream())
                return
            url = check_redirect(url, header_of(response, "location"), private_hosts())
    raise TooManyRedirects(f"The address leads on more than {MAX_REDIRECTS} times.", field="url")


def fetch(url: str, *, max_bytes: int, headers: Mapping[str, str] | None = None, patience: Patience | None = None) -> Fetched:
    """What lies at the address; every redirect is checked like the first address.

    Raises AddressRefused, InvalidRequest for an answer that is no 200 or is longer than `max_bytes`, and as `exchange`.
    """
    with follow(url, headers=headers or {}, enter=lambda _: patience or Patience()) as answer:
        if answer.status != 200:
            raise InvalidRequest(f"The address answers with the status {answer.status}.", field="url")
        content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Fetched(url=answer.url, content_type=content_type, body=read_bounded(answer.body, max_bytes))


def header_of(response: httpcore2.Response, name: str) -> str:
    """A header of the response; empty where there is none."""
    return next((value.decode("latin-1") for key, value in response.headers if key.decode("latin-1").lower() == name), "")


def read_bounded(parts: Iterable[bytes], max_bytes: int) -> bytes:
    """The parts joined. Raises InvalidRequest where they are longer than that."""
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > max_bytes:
            raise InvalidRequest(f"The answer is longer than {max_bytes} bytes.", field="url", limit=max_bytes)
    return bytes(body)


def private_hosts() -> PrivateHosts:
    """The hosts of the own network that may be reached."""
    return _parsed(get_settings().private_hosts)


_parsed = cache(parse_private_hosts)


@cache
def _tls() -> ssl.SSLContext:
    """Certificates of the system, or of SSL_CERT_FILE."""
    return httpcore2.default_ssl_context()


class GuardedBackend(httpcore2.SyncBackend):
    """Connects to the checked addresses of a host: what was checked is what is connected to (DNS is asked once)."""

    def __init__(self, private: PrivateHosts, until: float, cancel: Event | None) -> None:
        self._private = private
        self._until = until
        self._cancel = cancel

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first address that takes one. Raises AddressRefused where any of them may not be reached."""
        failed: Exception | None = None
        for address in resolve(host, port, self._private)[:MAX_ADDRESSES]:
            try:
                stream = super().connect_tcp(address, port, timeout, local_address, socket_options)
                return CancellableStream(stream, self._until, self._cancel)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore2.ConnectError(f"{host} has no address")


class CancellableStream(httpcore2.NetworkStream):
    """A connection whose reader looks up ten times a second, and leaves when it is cancelled or late."""

    def __init__(self, stream: httpcore2.NetworkStream, until: float, cancel: Event | None) -> None:
        self._stream = stream
        self._until = until
        self._cancel = cancel

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes. Raises Cancelled, DeadlineExceeded, and ReadTimeout after `timeout` seconds without any."""
        patient_until = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while True:
            self._look_up()
            try:
                return self._stream.read(max_bytes, TICK_S)
            except httpcore2.ReadTimeout:
                if time.monotonic() >= patient_until:
                    raise

    def _look_up(self) -> None:
        ended: QAError | None = None
        if self._cancel is not None and self._cancel.is_set():
            ended = Cancelled("Stopped.")
        elif time.monotonic() >= self._until:
            ended = DeadlineExceeded("The deadline passed before the other server had answered.")
        if ended is not None:
            raise ended

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends all of it."""
        self._look_up()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """The same over TLS; the certificate is checked against the name, not the address."""
        return CancellableStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._until, self._cancel)

    def get_extra_info(self, info: str) -> Any:
        """What the connection tells about itself."""
        return self._stream.get_extra_info(info)
