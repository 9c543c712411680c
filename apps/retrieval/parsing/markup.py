"""Which blocks does a tree of HTML elements hold? Used for web pages and for the chapters of books."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree, html

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.refusal import Reason, UnreadableFile

MAX_DEPTH = 400
# Never content: what programs, forms and pages' frames say.
SKIPPED = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "form",
        "button",
        "select",
        "input",
        "textarea",
        "head",
        "nav",
        "footer",
        "aside",
        "dialog",
        "menu",
    ]
)
BLOCKS = frozenset(
    [
        "p",
        "div",
        "section",
        "article",
        "main",
        "header",
        "blockquote",
        "figure",
        "figcaption",
        "dl",
        "dd",
        "dt",
        "details",
        "summary",
        "address",
        "body",
        "html",
        "center",
    ]
)
_APART = frozenset(("br", "li", "td", "th", "tr"))
_SPACE = re.compile(r"\s+")
_HEADING = re.compile(r"^h([1-6])$")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_FRAME_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog"))


def parse_markup(data: bytes, encoding: str) -> Any | None:
    """The root of an HTML tree, or None where there is none. Declared entities and outside addresses are never followed."""
    parser = html.HTMLParser(encoding=encoding, no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        return html.document_fromstring(data, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, AssertionError):
        return None


def add_markup(found: BlockCollector, element: Any, page: int | None = None) -> None:
    """Adds the blocks below an element in reading order; frames of a page, forms and hidden parts are left out."""
    _add(found, element, page, 1)


def _add(found: BlockCollector, element: Any, page: int | None, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnreadableFile(Reason.TOO_DEEP, f"its elements are nested more than {MAX_DEPTH} deep")
    inline = [_folded(element.text)]
    for child in element:
        if not isinstance(child.tag, str):
            inline.append(_folded(child.tail))
            continue
        if is_skipped(child):
            pass
        elif child.tag == "br":
            inline.append("\n")
        elif _is_block(child):
            _flush(found, inline, page)
            _add_block(found, child, page, depth)
        else:
            inline.append(inline_text(child))
        inline.append(_folded(child.tail))
    _flush(found, inline, page)


def _flush(found: BlockCollector, inline: list[str], page: int | None) -> None:
    found.paragraph("".join(inline), page)
    inline.clear()


def _is_block(element: Any) -> bool:
    if element.tag in BLOCKS or element.tag in ("ul", "ol", "table", "pre") or _HEADING.match(element.tag):
        return True
    return any(isinstance(child.tag, str) and (child.tag in BLOCKS or child.tag in ("ul", "ol", "table", "pre")) for child in element)


def _add_block(found: BlockCollector, element: Any, page: int | None, depth: int) -> None:
    heading = _HEADING.match(element.tag)
    if heading is not None:
        found.heading(inline_text(element), int(heading[1]), page)
    elif element.tag in ("ul", "ol"):
        found.items((inline_text(item) for item in element if isinstance(item.tag, str) and not is_skipped(item)), page)
    elif element.tag == "pre":
        found.code("".join(element.itertext()), page)
    elif element.tag == "table" and not _is_layout(element):
        found.table(_rows(element), page)
    else:
        _add(found, element, page, depth + 1)


def is_skipped(element: Any) -> bool:
    """Whether an element is a frame of the page, a form, a program or hidden."""
    return (
        element.tag in SKIPPED
        or element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or element.get("role") in _FRAME_ROLES
        or bool(_HIDDEN.search(element.get("style") or ""))
    )


def _is_layout(table: Any) -> bool:
    """Whether a table only places things on the page: it holds tables, or never more than one cell in a row."""
    if next(table.iterdescendants("table"), None) is not None:
        return True
    return all(len(row) < 2 for row in table.iter("tr"))


def _rows(table: Any) -> list[list[str]]:
    return [[inline_text(cell) for cell in row if cell.tag in ("td", "th")] for row in table.iter("tr")]


def inline_text(element: Any, depth: int = 1) -> str:
    """The text of an element, with blanks where blocks within it meet."""
    if depth > MAX_DEPTH:
        raise UnreadableFile(Reason.TOO_DEEP, f"its elements are nested more than {MAX_DEPTH} deep")
    parts = [_folded(element.text)]
    for child in element:
        if isinstance(child.tag, str) and not is_skipped(child):
            parts += [" " if child.tag in _APART or _is_block(child) else "", inline_text(child, depth + 1)]
            parts += [" " if child.tag in _APART else ""]
        parts.append(_folded(child.tail))
    return "".join(parts)


def _folded(text: str | None) -> str:
    """White space of the source, line breaks too, is a blank in HTML."""
    return _SPACE.sub(" ", text or "")
