"""A web site for tests: real HTTP over a real socket. What lies at each path can change while it is up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.servers import answering

SENTENCES = "It says more about that than anybody would want to know, and it says so in whole sentences. "


@dataclass
class At:
    """What lies at a path. With an ETag, a request that names it gets 304."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str = ""


Answer = At | Callable[["Exchange"], None]


@dataclass
class Site:
    """The pages by path, and what was asked for: paths with their query, and the status of each answer."""

    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    root: str = ""

    @property
    def paths(self) -> list[str]:
        """The paths asked for, without robots.txt."""
        return [path for path, _ in self.asked if path != "/robots.txt"]

    def forget(self) -> None:
        """Begins the lists of what was asked anew."""
        self.asked.clear()
        self.headers.clear()


class Exchange(BaseHTTPRequestHandler):
    """One request."""

    site: Site

    def do_GET(self) -> None:
        """Answers with what lies at the path, 404 where nothing does."""
        self.site.headers.append({name.lower(): value for name, value in self.headers.items()})
        answer = self.site.pages.get(self.path, At(b"nothing here", 404))
        if callable(answer):
            self.site.asked.append((self.path, 0))
            with suppress(OSError):
                answer(self)
            return
        known = answer.etag and self.headers.get("if-none-match") == answer.etag
        status, body = (304, b"") if known else (answer.status, answer.body)
        self.site.asked.append((self.path, status))
        self.send_response(status)
        tagged = {"ETag": answer.etag} if answer.etag else {}
        for name, value in {"Content-Type": "text/html", "Content-Length": str(len(body)), **answer.headers, **tagged}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def html(title: str, text: str, etag: str = "") -> At:
    """A page with a paragraph."""
    return At(f"<html><head><title>{title}</title></head><body><p>{text} {SENTENCES}</p></body></html>".encode(), etag=etag)


def leads_to(location: str) -> At:
    """A redirect."""
    return At(status=302, headers={"Location": location})


def sitemap(*addresses: str) -> At:
    """A sitemap of pages."""
    return _xml("urlset", "url", addresses)


def sitemap_index(*addresses: str) -> At:
    """A sitemap of sitemaps."""
    return _xml("sitemapindex", "sitemap", addresses)


def _xml(root: str, item: str, addresses: tuple[str, ...]) -> At:
    items = "".join(f"<{item}><loc>{address}</loc></{item}>" for address in addresses)
    body = f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{items}</{root}>'
    return At(body.encode(), headers={"Content-Type": "application/xml"})


@contextmanager
def web_site(**pages: Answer) -> Iterator[Site]:
    """A site while the block runs, at 127.0.0.1; its address is `site.root`."""
    site = Site(dict(pages))
    with answering(type("Page", (Exchange,), {"site": site})) as address:
        site.root = f"http://{address}"
        yield site
