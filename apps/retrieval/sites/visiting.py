"""How is a page of the web fetched? Politely and within limits: robots.txt, a delay, a size, a time, so many redirects, one guard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from urllib.parse import urlsplit

from apps.retrieval.parsing.formats import MEDIA_TYPES
from apps.retrieval.sites.addresses import origin_of, site_of
from apps.retrieval.sites.bodies import read_body
from apps.retrieval.sites.pacing import PACE, Pace
from apps.retrieval.sites.refusal import PageRefused, Problem
from apps.retrieval.sites.robots import Rules, read_rules
from apps.serving.connections import Answer, Patience, TooManyRedirects, follow
from core.config import get_settings
from core.errors import DeadlineExceeded, ModelUnavailable
from core.net import AddressRefused

MAX_FAILURES = 5  # in a row: then the host counts as away, and the rest of its pages are not tried
MAX_RETRY_AFTER_S = 60.0
CONNECT_S = 10.0
GZIP_TYPES = frozenset({"application/gzip", "application/x-gzip"})
XML_TYPES = frozenset({"application/xml", "text/xml", "application/xhtml+xml"})
_PLAIN_TYPES = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/json", "application/x-ndjson", "text/x-markdown"}
)
TAKEN_TYPES = frozenset(MEDIA_TYPES.values()) | GZIP_TYPES | XML_TYPES | _PLAIN_TYPES
_ACCEPT = "text/html,application/xhtml+xml,application/pdf;q=0.9,*/*;q=0.8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Validators:
    """What tells a server which version we have (RFC 9110, 8.8); empty where it named none."""

    etag: str = ""
    last_modified: str = ""

    def as_headers(self) -> dict[str, str]:
        """The headers of a conditional request."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What a server gave. `url` is where redirects led to, `content_type` without parameters, `charset` as it was declared."""

    url: str
    content_type: str
    charset: str
    body: bytes
    validators: Validators


class Visitor:
    """Fetches pages for one run: it knows the rules of the sites it has seen, and which hosts are away."""

    def __init__(self, *, cancel: Event | None = None, pace: Pace = PACE) -> None:
        self._cancel = cancel or Event()
        self._pace = pace
        self._settings = get_settings()
        self._rules: dict[str, Rules] = {}
        self._failures: dict[str, int] = {}

    def fetch(self, url: str, *, known: Validators | None = None, sites: frozenset[str] = frozenset()) -> Page | None:
        """The page, None where it is still the version known. With `sites`, pages of other ones are refused, redirects included.

        Raises PageRefused, and Cancelled.
        """
        site = ""
        try:
            site = site_of(url)
            for tries_left in (1, 0):
                page, retry_after_s = self._ask(url, known, sites, tries_left)
                if retry_after_s is None:
                    return page
                self._pace.hold(site, retry_after_s)
        except AddressRefused as error:
            raise PageRefused(Problem.REFUSED_ADDRESS, error.message) from error
        except TooManyRedirects as error:
            raise PageRefused(Problem.REDIRECTS, error.message) from error
        except DeadlineExceeded as error:
            self._failures[site] = self._failures.get(site, 0) + 1
            raise PageRefused(Problem.TIMED_OUT, f"It was not there within {self._settings.site_page_s:g} s (QA_SITE_PAGE_S).") from error
        except ModelUnavailable as error:
            self._failures[site] = self._failures.get(site, 0) + 1
            raise PageRefused(Problem.UNREACHABLE, error.message) from error
        raise PageRefused(Problem.BUSY, "The site asks to come back later.")

    def _ask(self, url: str, known: Validators | None, sites: frozenset[str], tries_left: int) -> tuple[Page | None, float | None]:
        """The page (None: not modified), or after how many seconds to ask again."""
        headers = {"User-Agent": self._settings.site_user_agent, "Accept": _ACCEPT, "Accept-Encoding": "gzip"}
        headers |= known.as_headers() if known else {}
        with follow(url, headers=headers, enter=lambda each: self._enter(each, sites), cancel=self._cancel) as answer:
            page = self._page(answer) if answer.status == 200 else None
            self._failures.pop(site_of(url), None)
            if answer.status in (429, 503):
                return None, _retry_after_s(answer, tries_left)
            if page is None and not (answer.status == 304 and known and known.as_headers()):
                raise _refused_status(answer.status)
            return page, None

    def _page(self, answer: Answer) -> Page:
        content_type, charset = _type_of(answer.headers)
        if content_type not in TAKEN_TYPES:
            raise PageRefused(Problem.UNSUPPORTED_TYPE, f"It is {content_type[:80]}, which cannot be read.")
        return Page(
            url=answer.url,
            content_type=content_type,
            charset=charset,
            body=read_body(answer.body, answer.headers, self._settings.site_page_mb << 20),
            validators=Validators(
                etag=_short(answer.headers.get("etag", ""), 500), last_modified=_short(answer.headers.get("last-modified", ""), 100)
            ),
        )

    def _enter(self, url: str, sites: frozenset[str]) -> Patience:
        """Before each address, of a redirect too: is it of these sites, alive, allowed, and is it our turn?"""
        site = site_of(url)
        if sites and site not in sites:
            raise PageRefused(Problem.OTHER_HOST, f"It lies at {site[:200]}, not at {', '.join(sorted(sites))[:200]} as its sitemap.")
        if self._failures.get(site, 0) >= MAX_FAILURES:
            raise PageRefused(Problem.UNREACHABLE, f"{site[:200]} failed {MAX_FAILURES} times in a row; it was not tried again.")
        rules = self._rules_of(origin_of(url))
        if not rules.allow(url):
            raise PageRefused(Problem.ROBOTS, f"{rules.problem or 'robots.txt forbids it'}.")
        self._pace.wait(site, max(self._settings.site_delay_s, rules.delay_s), self._cancel)
        return self._patience()

    def _rules_of(self, origin: str) -> Rules:
        if origin not in self._rules:
            self._rules[origin] = read_rules(origin, self._settings.site_user_agent, lambda _: self._patience(), self._cancel)
        return self._rules[origin]

    def _patience(self) -> Patience:
        seconds = self._settings.site_page_s
        return Patience(connect_s=min(CONNECT_S, seconds), read_s=seconds, until=time.monotonic() + seconds)


def _type_of(headers: Mapping[str, str]) -> tuple[str, str]:
    """The media type and the charset of a `Content-Type`, in lower case."""
    kind, *parameters = headers.get("content-type", "").split(";")
    named = dict(parameter.strip().lower().partition("=")[::2] for parameter in parameters)
    return kind.strip().lower(), named.get("charset", "").strip("\"' ")


def _retry_after_s(answer: Answer, tries_left: int) -> float:
    """How long the site wants to be left alone. Raises PageRefused where that is too long, or it was asked before."""
    text = answer.headers.get("retry-after", "5").strip()
    seconds = float(text) if text.isdecimal() and len(text) < 9 else MAX_RETRY_AFTER_S + 1
    if not tries_left or seconds > MAX_RETRY_AFTER_S:
        raise PageRefused(Problem.BUSY, f"The site asks to come back later (status {answer.status}).", status=answer.status)
    return seconds


def _refused_status(status: int) -> PageRefused:
    if status in (404, 410):
        return PageRefused(Problem.NOT_FOUND, f"There is no such page (status {status}).", status=status)
    if status in (401, 403):
        return PageRefused(Problem.STATUS, f"It needs signing in, or is closed to programs (status {status}).", status=status)
    return PageRefused(Problem.STATUS, f"It answers with the status {status}.", status=status)


def _short(value: str, most: int) -> str:
    """A header's value as it is sent back, empty where it is longer than is kept."""
    return value if len(value) <= most and value.isprintable() else ""


def file_name_of(url: str) -> str:
    """The last part of the address's path; empty for the page of a folder."""
    return urlsplit(url).path.rpartition("/")[2]
