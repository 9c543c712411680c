"""What documents lie at addresses of the web? A page is one, a sitemap as many as it names; what did not change is not read again."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from apps.retrieval.documents.incoming import AnySource, BadSource, GoneSource, Source
from apps.retrieval.documents.readings import Reading
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.sources import KEPT_BY_FILES, MAX_AUTHOR_CHARS, MAX_TITLE_CHARS, file_id, source_digest
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.parsing.encodings import known_encoding
from apps.retrieval.parsing.formats import MEDIA_TYPES, SUFFIXES, format_of_suffix
from apps.retrieval.parsing.refusal import UnreadableFile
from apps.retrieval.parsing.sandbox import parse_file
from apps.retrieval.sites.addresses import page_address, site_of
from apps.retrieval.sites.page_records import KnownPage, known_page, note_sitemap, pages_named_before, remember_page
from apps.retrieval.sites.refusal import PageRefused, Problem
from apps.retrieval.sites.sitemaps import NotTaken, pages_of_sitemap, unpacked_sitemap
from apps.retrieval.sites.visiting import Page, Visitor, file_name_of
from core.errors import InvalidRequest
from core.text import clean_text

MAX_BROKEN_SHARE = 0.001
_SUFFIX_OF = {MEDIA_TYPES[format]: suffixes[0] for format, suffixes in SUFFIXES.items()} | {"application/xhtml+xml": ".html"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A page that is wanted: the sitemap that named it, and the sites that it may lie at (any where there are none).

    `refusal` says why it is not even asked for. Where it was `fetched` to see what it is, `page` is what came (None: not modified).
    """

    url: str
    sitemap: str = ""
    sites: frozenset[str] = frozenset()
    refusal: PageRefused | None = None
    page: Page | None = None
    fetched: bool = False

    @property
    def id(self) -> str:
        """The id of its document."""
        return file_id(self.url)


def sources_at(kb: KnowledgeBase, urls: Iterable[str], visitor: Visitor) -> Iterator[AnySource]:
    """The documents at these addresses, fetched one after the other as they are asked for. Raises Cancelled."""
    return (source_of(kb, listed, visitor) for listed in pages_at(kb, urls, visitor))


def pages_at(kb: KnowledgeBase, urls: Iterable[str], visitor: Visitor) -> Iterator[Listed]:
    """The pages at these addresses: each one itself, or those that it names where it is a sitemap. Raises Cancelled.

    Pages that a sitemap named when it came in before are among them, so that those that are gone are noticed.
    """
    for url in urls:
        try:
            address = page_address(url)
            known = known_page(kb, file_id(address))
            page = visitor.fetch(address, known=known.validators if known else None)
            data = unpacked_sitemap(page) if page else None
        except PageRefused as refusal:
            yield Listed(url=url, refusal=refusal)
            continue
        if page is not None and data is not None:
            yield from _pages_of_sitemap(kb, address, page, data, visitor)
        else:
            yield Listed(url=address, page=page, fetched=True)


def _pages_of_sitemap(kb: KnowledgeBase, sitemap: str, first: Page, data: bytes, visitor: Visitor) -> Iterator[Listed]:
    named: set[str] = set()
    sites = frozenset({site_of(sitemap), site_of(first.url)})
    try:
        for one in pages_of_sitemap(first, data, sitemap, visitor):
            if isinstance(one, NotTaken):
                yield Listed(url=one.url, sitemap=sitemap, refusal=one.refusal)
            else:
                named.add(one)
                yield Listed(url=one, sitemap=sitemap, sites=sites)
    except PageRefused as refusal:
        yield Listed(url=sitemap, refusal=refusal)
        return
    yield from (Listed(url=url, sitemap=sitemap, sites=sites) for url in pages_named_before(kb, sitemap) if url not in named)


def source_of(kb: KnowledgeBase, listed: Listed, visitor: Visitor) -> AnySource:
    """The source that a page is, fetched now. Of one that did not change nothing is sent: should it be wanted after all, it is fetched then."""
    try:
        if listed.refusal is not None:
            raise listed.refusal
        known = known_page(kb, listed.id)
        page = listed.page if listed.fetched else visitor.fetch(listed.url, known=known.validators if known else None, sites=listed.sites)
        if page is None and known is not None:
            return _unchanged(kb, listed, known, visitor)
        page = _given(page)
        digest = source_digest(_remember(kb, listed, page))
    except PageRefused as refusal:
        return _refused(listed.url, refusal)
    read = partial(reading_of_page, listed.url, page, digest)
    return Source(place=listed.url, id=listed.id, sha256=digest, size=len(page.body), read=read)


def _unchanged(kb: KnowledgeBase, listed: Listed, known: KnownPage, visitor: Visitor) -> Source:
    note_sitemap(kb, listed.id, listed.sitemap)
    digest = source_digest(known.content_sha256)

    def read() -> Reading:
        page = _given(visitor.fetch(listed.url, sites=listed.sites))
        _remember(kb, listed, page)
        return reading_of_page(listed.url, page, digest)

    return Source(place=listed.url, id=listed.id, sha256=digest, read=read)


def _remember(kb: KnowledgeBase, listed: Listed, page: Page) -> str:
    """Notes the version of the page. Returns the hash of its content."""
    content = hashlib.sha256(f"{page.content_type}\n{page.charset}\n{page.url}\n".encode() + page.body).hexdigest()
    remember_page(kb, listed.id, listed.url, validators=page.validators, content_sha256=content)
    note_sitemap(kb, listed.id, listed.sitemap)
    return content


def reading_of_page(url: str, page: Page, digest: str) -> Reading:
    """What a page says, by what it holds; its type and its name in the address only decide between kinds of plain text."""
    name = _file_name(page)
    try:
        parsed = parse_file(_in_utf8(page), name=name)
    except UnreadableFile as error:
        raise InvalidRequest(error.message.removeprefix(f"{name}: "), **error.details) from error
    row = DocumentRow(
        id=file_id(url),
        text="",
        url=page.url,
        title=(parsed.title or clean_text(unquote(file_name_of(url))) or site_of(url))[:MAX_TITLE_CHARS],
        author=parsed.author[:MAX_AUTHOR_CHARS],
        language=parsed.language,
        date=parsed.date,
        media_type=parsed.media_type,
    )
    return Reading(row=row, blocks=parsed.blocks, source_sha256=digest, kept=KEPT_BY_FILES, warnings=parsed.warnings)


def _given(page: Page | None) -> Page:
    """The page of a request without conditions. Raises PageRefused where the server says that it did not change."""
    if page is None:
        raise PageRefused(Problem.STATUS, "The server says that it did not change, which was not asked.")
    return page


def _refused(url: str, refusal: PageRefused) -> BadSource | GoneSource:
    if refusal.problem is Problem.NOT_FOUND:
        return GoneSource(place=url, id=file_id(page_address(url)), problem=refusal.message)
    return BadSource(place=clean_text(url)[:2000], problem=refusal.message, code=refusal.problem.value)


def _file_name(page: Page) -> str:
    """A name with the suffix of its type; with that of its address where the type says nothing."""
    last = file_name_of(page.url) or "page"
    suffix = _SUFFIX_OF.get(page.content_type, "")
    is_told = last.lower().endswith(suffix) or (page.content_type == "text/plain" and format_of_suffix(last))
    return last if is_told else f"{last}{suffix}"


def _in_utf8(page: Page) -> bytes:
    """The bytes of a text in UTF-8, marked so, where the server told another encoding and that fits: it counts more than what the page says."""
    if not page.charset or not page.content_type.startswith("text/") or page.body.startswith((codecs.BOM_UTF8, b"\xff\xfe", b"\xfe\xff")):
        return page.body
    encoding = known_encoding(page.charset)
    if encoding is None:
        return page.body
    text = page.body.decode(encoding, "replace")
    return page.body if text.count("\ufffd") > len(text) * MAX_BROKEN_SHARE else codecs.BOM_UTF8 + text.encode("utf-8", "replace")
