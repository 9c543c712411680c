"""What does an EPUB say? The chapters of its reading order; each counts as a page."""

from __future__ import annotations

import posixpath
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.markup import add_markup, parse_markup
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.spread_cells import spread_cells
from apps.retrieval.parsing.stated import stated_date, stated_language
from apps.retrieval.parsing.web_page import utf8
from apps.retrieval.parsing.zipped import ZIP_ERRORS, open_zip

_CONTAINER = "META-INF/container.xml"
_READABLE = ("application/xhtml+xml", "text/html")


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """The chapters in the order of the spine (EPUB 3.3, 3.4.12). A chapter that is damaged is left out with a warning."""
    with open_zip(path, limits) as archive:
        package_path = _package_path(archive)
        package = _xml(archive, package_path)
        _refuse_rights_management(archive)
        found = BlockCollector(limits)
        for page, name in enumerate(_chapters(package, posixpath.dirname(package_path)), 1):
            _add_chapter(found, archive, name, page)
    if not found.blocks:
        raise UnreadableFile(Reason.NO_TEXT, "none of its chapters holds text")
    return ParsedDocument(
        blocks=tuple(found.blocks),
        title=_fact(package, "title"),
        author=_fact(package, "creator"),
        language=stated_language(_fact(package, "language")),
        date=stated_date(_fact(package, "date")),
        warnings=tuple(found.warnings),
    )


def _add_chapter(found: BlockCollector, archive: zipfile.ZipFile, name: str, page: int) -> None:
    try:
        data = archive.read(name)
    except (KeyError, *ZIP_ERRORS):
        found.warn(f"Chapter {page} ({name[:80]}) is missing or damaged and was left out.")
        return
    root = parse_markup(*utf8(data))
    body = root.find("body") if root is not None else None
    if body is not None:
        spread_cells(body)
        add_markup(found, body, page)


def _package_path(archive: zipfile.ZipFile) -> str:
    for rootfile in _xml(archive, _CONTAINER).iter("{*}rootfile"):
        if rootfile.get("full-path"):
            return str(rootfile.get("full-path"))
    raise UnreadableFile(Reason.DAMAGED, "its container names no package")


def _xml(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return etree.fromstring(archive.read(name), etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except (KeyError, etree.XMLSyntaxError, *ZIP_ERRORS) as error:
        raise UnreadableFile(Reason.DAMAGED, f"its part {name[:80]} is missing or damaged") from error


def _refuse_rights_management(archive: zipfile.ZipFile) -> None:
    """Fonts may be obfuscated; encrypted chapters cannot be read (EPUB 3.3, 4.2.6.3.2)."""
    if "META-INF/encryption.xml" not in archive.namelist():
        return
    for reference in _xml(archive, "META-INF/encryption.xml").iter("{*}CipherReference"):
        if str(reference.get("URI", "")).lower().endswith((".xhtml", ".html", ".htm", ".xml")):
            raise UnreadableFile(Reason.ENCRYPTED, "its chapters are encrypted (rights management)")


def _chapters(package: Any, folder: str) -> list[str]:
    manifest = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in package.iter("{*}item")
        if item.get("media-type") in _READABLE and "nav" not in (item.get("properties") or "").split()
    }
    return [manifest[ref.get("idref")] for ref in package.iter("{*}itemref") if ref.get("idref") in manifest]


def _fact(package: Any, name: str) -> str:
    return (package.findtext(f".//{{http://purl.org/dc/elements/1.1/}}{name}") or "").strip()
