"""When are two addresses the same page, and when the same site?"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from apps.retrieval.sites.refusal import PageRefused, Problem
from core.net import MAX_URL_CHARS

SCHEMES = ("http://", "https://")
_PORTS = {"http": 80, "https": 443}


def is_address(text: str) -> bool:
    """Whether a text means a page of the web, and not a file."""
    return text.lower().startswith(SCHEMES)


def page_address(url: str) -> str:
    """The address as it names a page: without fragment and usual port, scheme and host in lower case.

    Raises PageRefused for what is no address. What may be fetched is not judged here: `core.net` does that, at each request.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise PageRefused(Problem.REFUSED_ADDRESS, "It is not a URL that can be used.") from error
    shown = f"[{host}]" if ":" in host else host
    place = shown if port in (None, _PORTS.get(parts.scheme)) else f"{shown}:{port}"
    address = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
    longest = max(len(url), len(address))  # a path that is left out, or a host in lower case, may make it longer
    if parts.scheme not in _PORTS or not host or parts.username is not None or longest > MAX_URL_CHARS:
        raise PageRefused(
            Problem.REFUSED_ADDRESS,
            f"It must begin with https:// or http://, name a host and no user, and have at most {MAX_URL_CHARS} characters.",
        )
    return address


def site_of(url: str) -> str:
    """The host of a page's address, with its port where that is an unusual one. http and https are one site."""
    return urlsplit(page_address(url)).netloc


def origin_of(url: str) -> str:
    """Scheme, host and port: what one robots.txt stands for (RFC 9309, 2.3)."""
    parts = urlsplit(page_address(url))
    return f"{parts.scheme}://{parts.netloc}"
