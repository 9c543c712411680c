"""What do Word, PowerPoint and Excel files have in common? What they state about themselves lies at one place of the archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lxml import etree

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits
from apps.retrieval.parsing.stated import stated_creation, stated_language
from apps.retrieval.parsing.zipped import ZIP_ERRORS, open_zip, refuse_doctypes


def checked_properties(path: Path, limits: ParseLimits) -> dict[str, str]:
    """What the file states about itself; call it first: it refuses archives and XML that must not be opened."""
    with open_zip(path, limits) as archive:
        refuse_doctypes(archive)
        return _core_properties(archive)


def office_document(found: BlockCollector, properties: dict[str, str]) -> ParsedDocument:
    """What was collected, with what the file states about itself."""
    return ParsedDocument(
        blocks=tuple(found.blocks),
        title=properties.get("title", ""),
        author=properties.get("author", ""),
        language=stated_language(properties.get("language", "")),
        date=stated_creation(properties.get("date", "")),
        warnings=tuple(found.warnings),
    )


def _core_properties(archive: zipfile.ZipFile) -> dict[str, str]:
    """Title, author, language and creation date that an Office file states; empty where it states none or wrongly."""
    try:
        root = etree.fromstring(archive.read("docProps/core.xml"), etree.XMLParser(resolve_entities=False, no_network=True))
    except (KeyError, etree.XMLSyntaxError, *ZIP_ERRORS):
        return {}
    names = {"title": "title", "creator": "author", "language": "language", "created": "date"}
    found = {names.get(etree.QName(child).localname, ""): (child.text or "").strip() for child in root.iterchildren("*")}
    return {name: text for name, text in found.items() if name and text}
