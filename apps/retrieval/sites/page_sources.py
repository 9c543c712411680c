"""What documents lie at addresses of the web? A page is one, a sitemap as many as it names; what did not change is not read again."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from urllib.parse import unquote

from apps.retrieval.documents.gone import GoneSource
from apps.retrieval.documents.ingesting import AnySource, BadSource, Source
from apps.retrieval.documents.readings import Reading
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.sources import KEPT_BY_FILES, MAX_AUTHOR_CHARS, MAX_TITLE_CHARS, file_id, source_digest
from apps.retrieval.models import KnowledgeBase
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


def sources_at(kb: KnowledgeBase, urls: Iterable[str], visitor: Visitor) -> Iterator[AnySource]:
    """The documents at these addresses, fetched one after the other as they are asked for. Raises Cancelled.

    Pages that a sitemap named when it came in before are looked at too, so that those that are gone are noticed.
    """
    pages = _Pages(kb, visitor)
    for url in urls:
        yield from pages.at(url)


class _Pages:
    """The pages of one run."""

    def __init__(self, kb: KnowledgeBase, visitor: Visitor) -> None:
        self._kb, self._visitor = kb, visitor

    def at(self, raw: str) -> Iterator[AnySource]:
        """The page at an address, or the pages of the sitemap that lies there."""
        try:
            url = page_address(raw)
            known = known_page(self._kb, file_id(url))
            page = self._visitor.fetch(url, known=known.validators if known else None)
            data = unpacked_sitemap(page) if page else None
            source = self._source(url, page, known, "") if data is None else None
        except PageRefused as refusal:
            yield _refused(raw, refusal)
            return
        if source is not None:
            yield source
        elif page is not None and data is not None:
            yield from self._of_sitemap(url, page, data)

    def _of_sitemap(self, sitemap: str, first: Page, data: bytes) -> Iterator[AnySource]:
        named: set[str] = set()
        sites = frozenset({site_of(sitemap), site_of(first.url)})
        try:
            for one in pages_of_sitemap(first, data, sitemap, self._visitor):
                if isinstance(one, NotTaken):
                    yield _refused(one.url, one.refusal)
                else:
                    named.add(one)
                    yield self._page(one, sitemap, sites)
        except PageRefused as refusal:
            yield _refused(sitemap, refusal)
            return
        for url in pages_named_before(self._kb, sitemap):
            if url not in named:
                yield self._page(url, sitemap, sites)

    def _page(self, url: str, sitemap: str, sites: frozenset[str]) -> AnySource:
        """One page of a sitemap."""
        try:
            known = known_page(self._kb, file_id(url))
            page = self._visitor.fetch(url, known=known.validators if known else None, sites=sites)
            return self._source(url, page, known, sitemap)
        except PageRefused as refusal:
            return _refused(url, refusal)

    def _source(self, url: str, page: Page | None, known: KnownPage | None, sitemap: str) -> Source:
        """The source that a page is. Of one that did not change nothing was sent: should it be wanted after all, it is fetched then."""
        id = file_id(url)
        if page is None and known is not None:
            note_sitemap(self._kb, id, sitemap)
            digest = source_digest(known.content_sha256)
            return Source(place=url, id=id, sha256=digest, read=lambda: self._read_anew(url, known, sitemap, digest))
        page = _given(page)
        digest = source_digest(self._remember(url, page, sitemap))
        status = known.returning_status if known else ""
        read = partial(reading_of_page, url, page, digest, status=status)
        return Source(place=url, id=id, sha256=digest, size=len(page.body), read=read)

    def _read_anew(self, url: str, known: KnownPage, sitemap: str, digest: str) -> Reading:
        page = _given(self._visitor.fetch(url))
        self._remember(url, page, sitemap)
        return reading_of_page(url, page, digest, status=known.returning_status)

    def _remember(self, url: str, page: Page, sitemap: str) -> str:
        """Notes the version of the page. Returns the hash of its content."""
        content = hashlib.sha256(f"{page.content_type}\n{page.charset}\n{page.url}\n".encode() + page.body).hexdigest()
        remember_page(self._kb, file_id(url), url, validators=page.validators, content_sha256=content)
        note_sitemap(self._kb, file_id(url), sitemap)
        return content


def reading_of_page(url: str, page: Page, digest: str, *, status: str = "") -> Reading:
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
        status=status or None,
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
    try:
        text = page.body.decode(page.charset, "replace")
    except LookupError:
        return page.body
    return page.body if text.count("\ufffd") > len(text) * MAX_BROKEN_SHARE else codecs.BOM_UTF8 + text.encode("utf-8", "replace")
