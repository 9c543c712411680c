"""Which addresses may this server connect to on somebody's word? The one guard against server-side request forgery.

Public addresses only, unless the operator lists a host of his own network. A name is resolved once, every address it has is
checked, and the connection goes to a checked address: an answer that changes between check and use changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from core.errors import InvalidRequest, ModelUnavailable

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]

MAX_URL_CHARS = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_KEPT = "!#$%&'()*+,/:;=?@[]~"
_PORTS = {"http": 80, "https": 443}


class AddressRefused(InvalidRequest):
    """The address is none that this server connects to."""


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL, in the parts that a connection needs, all ASCII. `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class PrivateHosts:
    """The hosts of the own network that may be reached: names, addresses and networks, as `QA_PRIVATE_HOSTS` lists them."""

    names: frozenset[str]
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    def has_name(self, host: str) -> bool:
        """Whether the list has this very name (or this address, written as a name is)."""
        return host.casefold() in self.names

    def has_address(self, address: IPAddress) -> bool:
        """Whether the address lies in one of the networks."""
        return any(address in network for network in self.networks if network.version == address.version)


def parse_private_hosts(text: str) -> PrivateHosts:
    """The list of a setting: names, addresses and networks (10.0.0.0/8), separated by commas. Raises ValueError for a bad network."""
    names, networks = set(), []
    for item in (item.strip().casefold() for item in text.split(",") if item.strip()):
        try:
            networks.append(ipaddress.ip_network(item.strip("[]"), strict=False))
        except ValueError:
            if "/" in item or ":" in item or not item.replace("-", "").replace(".", "").replace("_", "").isalnum():
                raise ValueError(f"{item!r} is no host name, address or network; list hosts without scheme and port") from None
            names.add(item)
    return PrivateHosts(frozenset(names), tuple(networks))


def check_url(url: str, private: PrivateHosts, *, needs_tls: bool = False) -> Target:
    """The URL's parts. Raises AddressRefused for what is no plain http(s) URL.

    With `needs_tls` only listed hosts may be reached without TLS.
    """
    parts = _split(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in _PORTS or not host:
        raise AddressRefused("The address must begin with https:// or http:// and name a host.", field="url")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("The address must not carry a user or a password.", field="url")
    if needs_tls and parts.scheme != "https" and not _listed(host, private):
        raise AddressRefused("The address must begin with https://; http is for the hosts that QA_PRIVATE_HOSTS lists.", field="url")
    literal = _as_address(host)
    if literal is not None:
        _check_address(literal, host, private)
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_KEPT)
    return Target(parts.scheme, host if ":" in host else host.encode("idna").decode(), parts.port or _PORTS[parts.scheme], path)


def check_redirect(url: str, location: str, private: PrivateHosts, *, needs_tls: bool = False) -> str:
    """Where a redirect leads, checked like any address. Raises AddressRefused also for one from https to http."""
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise AddressRefused("The address leads to what is no URL.", field="url") from error
    check_url(target, private, needs_tls=needs_tls)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise AddressRefused("The address leads from https to http.", field="url")
    return target


def resolve(host: str, port: int, private: PrivateHosts, lookup: Resolver | None = None) -> list[str]:
    """The addresses of the host, all checked, in the resolver's order; connect to one of these and to nothing else.

    Raises AddressRefused where any of them may not be reached, ModelUnavailable where the name is unknown.
    """
    try:
        found = list(dict.fromkeys((lookup or _lookup)(host, port)))
    except (OSError, UnicodeError) as error:
        raise ModelUnavailable(f"The host {host[:200]} is not known.", host=host[:200]) from error
    for text in found:
        _check_address(ipaddress.ip_address(text.partition("%")[0]), host, private)
    return found


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the internet, also where IPv6 wraps an IPv4 address (mapped, 6to4, Teredo, NAT64)."""
    wrapped = _wrapped(address)
    if wrapped is not None:
        return is_public(wrapped)
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local  # global to Python, private to routers (RFC 3879)
    return address.is_global and not address.is_multicast and not address.is_reserved and not site_local


def _wrapped(address: IPAddress) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _check_address(address: IPAddress, host: str, private: PrivateHosts) -> None:
    plain = _wrapped(address) or address
    if not (is_public(address) or private.has_name(host) or private.has_address(plain)):
        raise AddressRefused(
            f"{host[:200]} is no public address; QA_PRIVATE_HOSTS lists the hosts of your own network that may be reached.", field="url"
        )


def _listed(host: str, private: PrivateHosts) -> bool:
    address = _as_address(host)
    return private.has_name(host) or (address is not None and private.has_address(address))


def _as_address(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL_CHARS or any(char.isspace() or not char.isprintable() for char in url) or "\\" in url:
        raise AddressRefused(f"The address must be a URL of at most {MAX_URL_CHARS} visible characters.", field="url")
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")
    except (ValueError, UnicodeError) as error:
        raise AddressRefused("The address is not a URL that can be used.", field="url") from error
    return parts


def _lookup(host: str, port: int) -> list[str]:
    return [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
