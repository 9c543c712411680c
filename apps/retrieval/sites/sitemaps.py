"""Which pages does a sitemap name? Those of its own site, in indexes of sitemaps too, within limits (sitemaps.org, protocol 0.9)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin
from xml.parsers import expat

from apps.retrieval.sites.addresses import page_address, site_of
from apps.retrieval.sites.bodies import GZIP, unpack_gzip
from apps.retrieval.sites.refusal import PageRefused, Problem
from apps.retrieval.sites.visiting import Page, Visitor
from core.config import get_settings
from core.net import MAX_URL_CHARS

MAX_SITEMAPS = 1000
MAX_NESTING = 3  # the protocol forbids indexes of indexes; they are found nevertheless
MAX_DEPTH = 20
MAX_REFUSED = 1000  # addresses that are named one by one among what is left out: a sitemap may hold millions of any kind
_ROOT = re.compile(rb"<(?:[\w.-]+:)?(?:urlset|sitemapindex)[\s>/]")
_HEAD_BYTES = 4096
_ITEMS = {"urlset": "url", "sitemapindex": "sitemap"}


@dataclass(frozen=True, slots=True)
class Sitemap:
    """The addresses that one file names: of sitemaps where it is an index, else of pages."""

    is_index: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotTaken:
    """An address that a sitemap names and that is left out, and why."""

    url: str
    refusal: PageRefused


def unpacked_sitemap(page: Page) -> bytes | None:
    """The XML of a sitemap, also of a gzipped one; None for any other page. Raises PageRefused where it cannot be unpacked."""
    data = page.body
    if data.startswith(GZIP):
        data = unpack_gzip(data, get_settings().site_page_mb << 20)
    return data if _ROOT.search(data[:_HEAD_BYTES]) else None


def parse_sitemap(data: bytes) -> Sitemap:
    """The addresses in the order of the file. Raises PageRefused for what is no well-formed XML, and for any document type: none is needed
    here, and entities that make gigabytes of kilobytes are declared there."""
    reading = _Reading()
    try:
        reading.parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: it declares an encoding that there is not
        raise PageRefused(Problem.BAD_SITEMAP, f"The sitemap is not well-formed XML: {str(error)[:120]}.") from error
    if reading.root not in _ITEMS:
        raise PageRefused(Problem.BAD_SITEMAP, "It is no sitemap.")
    return Sitemap(reading.root == "sitemapindex", tuple(reading.addresses))


class _Reading:
    """A pass over the XML: what stands in `loc` of each `url` or `sitemap` is an address."""

    def __init__(self) -> None:
        self.root = ""
        self.addresses: list[str] = []
        self._path: list[str] = []
        self._text = ""
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _refuse_doctype(self, *_: object) -> None:
        raise PageRefused(Problem.BAD_SITEMAP, "The sitemap declares a document type, which none needs and bombs do.")

    def _start(self, name: str, _: object) -> None:
        self._path.append(name.rpartition(" ")[2])
        if len(self._path) > MAX_DEPTH:
            raise PageRefused(Problem.BAD_SITEMAP, "The sitemap is nested too deeply.")
        self.root, self._text = self._path[0], ""

    def _characters(self, text: str) -> None:
        if len(self._text) <= MAX_URL_CHARS:
            self._text += text[: MAX_URL_CHARS + 1]

    def _end(self, _: str) -> None:
        if self._path[1:] == [_ITEMS.get(self.root), "loc"] and (address := self._text.strip()):
            self.addresses.append(address)
        self._path.pop()
        self._text = ""


def pages_of_sitemap(first: Page, data: bytes, asked: str, visitor: Visitor) -> Iterator[str | NotTaken]:
    """The pages that a sitemap names, each once, in order; sitemaps of an index are fetched as they come.

    `first` is what was fetched at the address `asked`: the site is that of either. What is left out is named.
    """
    sites = frozenset({site_of(asked), site_of(first.url)})
    waiting: deque[tuple[str, int]] = deque()
    found = _Found(sites)
    yield from found.take(parse_sitemap(data), first.url, waiting, 0)
    tried = {page_address(asked), page_address(first.url)}
    while waiting:
        url, nesting = waiting.popleft()
        if url in tried:
            continue
        tried.add(url)
        try:
            if nesting > MAX_NESTING:
                raise PageRefused(Problem.TOO_MANY, f"It lies in more than {MAX_NESTING} other sitemaps.")
            yield from found.take(_fetched(url, visitor, sites), url, waiting, nesting)
        except PageRefused as refusal:
            yield NotTaken(url, refusal)
    if found.unnamed:
        problem = f"{found.unnamed} more addresses that it names were left out, as the {MAX_REFUSED} before them."
        yield NotTaken(first.url, PageRefused(Problem.TOO_MANY, problem))


def _fetched(url: str, visitor: Visitor, sites: frozenset[str]) -> Sitemap:
    page = visitor.fetch(url, sites=sites)
    data = unpacked_sitemap(page) if page else None
    if data is None:
        raise PageRefused(Problem.BAD_SITEMAP, "It is no sitemap.")
    return parse_sitemap(data)


class _Found:
    """The pages so far: how many, and which not again. `unnamed` counts what was left out beyond `MAX_REFUSED`."""

    def __init__(self, sites: frozenset[str]) -> None:
        self._sites = sites
        self._seen: set[str] = set()
        self._sitemaps = self._refused = self.unnamed = 0
        self._most = get_settings().site_max_pages

    def take(self, sitemap: Sitemap, at: str, waiting: deque[tuple[str, int]], nesting: int) -> Iterator[str | NotTaken]:
        """The new pages of a sitemap that lies at an address; sitemaps of an index wait."""
        for raw in sitemap.addresses:
            try:
                url = self._checked(raw, at)
            except PageRefused as refusal:
                self._refused += 1
                if self._refused > MAX_REFUSED:
                    self.unnamed += 1
                else:
                    yield NotTaken(raw[:MAX_URL_CHARS], refusal)
                continue
            if url in self._seen:
                continue
            if self._is_full(sitemap.is_index):
                if not sitemap.is_index:
                    waiting.clear()
                yield NotTaken(at, PageRefused(Problem.TOO_MANY, self._limit(sitemap.is_index)))
                return
            if sitemap.is_index:
                self._sitemaps += 1
                waiting.append((url, nesting + 1))
            else:
                self._seen.add(url)
                yield url

    def _is_full(self, is_index: bool) -> bool:
        return self._sitemaps >= MAX_SITEMAPS if is_index else len(self._seen) >= self._most

    def _limit(self, is_index: bool) -> str:
        limit = f"{MAX_SITEMAPS} sitemaps" if is_index else f"{self._most} pages (QA_SITE_MAX_PAGES)"
        return f"It names more than {limit}: the others were left out."

    def _checked(self, raw: str, at: str) -> str:
        try:
            address = page_address(urljoin(at, raw))
        except ValueError as error:
            raise PageRefused(Problem.REFUSED_ADDRESS, "It is not a URL that can be used.") from error
        site = site_of(address)
        if site not in self._sites:
            raise PageRefused(Problem.OTHER_HOST, f"It lies at {site[:200]}, not at {', '.join(sorted(self._sites))[:200]} as its sitemap.")
        return address
