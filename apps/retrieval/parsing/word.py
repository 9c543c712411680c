"""What does a DOCX file say? Headings by style or outline level, lists, tables, in the order of the body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import docx
from docx.document import Document
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.office import checked_properties, office_document
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits

MAX_TABLE_DEPTH = 4
_HEADING = re.compile(r"^(?:heading|标题|標題)\s*(\d)", re.I)
_CODE = re.compile(r"code|source|代码|preformatted", re.I)


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """The blocks of the body; text boxes, headers, footers and comments are left out."""
    properties = checked_properties(path, limits)
    document = docx.Document(str(path))
    found = BlockCollector(limits)
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            found.table(_rows(item, depth=1))
        else:
            _add_paragraph(found, item)
    _add_notes(found, document)
    return office_document(found, properties)


def _add_paragraph(found: BlockCollector, paragraph: Paragraph) -> None:
    text = _text(paragraph)
    if not text.strip():
        return
    style = paragraph.style.name or "" if paragraph.style is not None else ""
    level = _heading_level(paragraph, style)
    if level:
        found.heading(text, level)
    elif _is_item(paragraph, style):
        found.item(text)
    elif _CODE.search(style):
        found.code(text)
    else:
        found.paragraph(text)


def _text(paragraph: Paragraph) -> str:
    """The text with inserted and without deleted runs, as with all changes accepted."""
    parts: list[str] = []
    for node in paragraph._p.iter(qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:cr"), qn("w:noBreakHyphen")):
        if node.tag == qn("w:t"):
            parts.append(node.text or "")
        elif node.tag != qn("w:tab") or node.getparent().tag == qn("w:r"):
            parts.append({qn("w:tab"): "\t", qn("w:noBreakHyphen"): "-"}.get(node.tag, "\n"))
    return "".join(parts)


def _heading_level(paragraph: Paragraph, style: str) -> int:
    named = _HEADING.match(style)
    if named is not None:
        return int(named[1])
    if style.lower() in ("title", "标题", "標題"):
        return 1
    levels = paragraph._p.xpath("./w:pPr/w:outlineLvl/@w:val")
    if not levels and paragraph.style is not None:
        levels = paragraph.style.element.xpath("./w:pPr/w:outlineLvl/@w:val")
    return int(levels[0]) + 1 if levels and levels[0].isdigit() and int(levels[0]) < 9 else 0


def _is_item(paragraph: Paragraph, style: str) -> bool:
    numbered = paragraph._p.xpath("./w:pPr/w:numPr/w:numId/@w:val")
    return bool(numbered and numbered[0] != "0") or style.lower().startswith(
        ("list bullet", "list number", "list paragraph", "列表", "列出")
    )


def _rows(table: Table, *, depth: int) -> Iterator[list[str]]:
    """The rows of a table, a merged cell once and empty ones where it reaches to; a table within a cell gives its cells' text."""
    for row in table.rows:
        cells: list[str] = []
        previous = None
        for cell in row.cells:
            cells.append(_cell_text(cell, depth) if cell._tc is not previous else "")
            previous = cell._tc
        yield cells


def _cell_text(cell: object, depth: int) -> str:
    parts: list[str] = []
    for item in cell.iter_inner_content():  # type: ignore[attr-defined]
        if isinstance(item, Paragraph):
            parts.append(_text(item))
        elif depth < MAX_TABLE_DEPTH:
            parts += (" ".join(row) for row in _rows(item, depth=depth + 1))
    return " ".join(parts)


def _add_notes(found: BlockCollector, document: Document) -> None:
    """Footnotes and endnotes, as a list at the end."""
    for part in document.part.package.iter_parts():
        if str(part.partname) in ("/word/footnotes.xml", "/word/endnotes.xml"):
            root = parse_xml(part.blob)
            found.items("".join(node.itertext(qn("w:t"))) for node in root if node.get(qn("w:type")) is None)
