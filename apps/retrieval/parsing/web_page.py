"""What does a web page say? Its main content, by trafilatura where that finds enough, else what the page marks as such, else all that is not frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trafilatura import bare_extraction

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.encodings import declared_encoding, decode_text
from apps.retrieval.parsing.markup import add_markup, is_skipped, parse_markup
from apps.retrieval.parsing.parsed import BlockKind, ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.spread_cells import spread_cells
from apps.retrieval.parsing.stated import stated_date, stated_language

# Below this, or below this share of all text, an extraction missed the content: short and tabular pages are no articles.
MIN_MAIN_CHARS = 200
MIN_MAIN_SHARE = 0.4
# Below both, an element that is marked as the main one holds none of the content: scripts fill it, or it was put around something else.
MIN_MARKED_CHARS, MIN_MARKED_SHARE = 200, 0.25
_TITLES = ("og:title", "twitter:title", "dc.title")
_AUTHORS = ("author", "article:author", "dc.creator")
_DATES = ("article:published_time", "datepublished", "pubdate", "publishdate", "date", "dc.date", "article:modified_time")


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """Headings, paragraphs, lists, tables and code of the page; title, author, language and date from its head."""
    root = parse_markup(*utf8(path.read_bytes()))
    if root is None:
        raise UnreadableFile(Reason.NO_TEXT, "the page holds no text")
    spread_cells(root)
    everything = _all_content(root, limits)
    main = _main_content(root, limits)
    found = main if _is_enough(main, everything) else everything
    facts = _facts(root)
    title = next((facts[name] for name in _TITLES if name in facts), "") or (root.findtext(".//title") or "").strip()
    return ParsedDocument(
        blocks=tuple(found.blocks),
        title=title or next((block.text for block in found.blocks if block.level == 1), ""),
        author=next((facts[name] for name in _AUTHORS if name in facts), ""),
        language=stated_language(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""),
        date=next((day for name in _DATES if name in facts and (day := stated_date(facts[name]))), None),
        warnings=tuple(found.warnings),
    )


def utf8(data: bytes) -> tuple[bytes, str]:
    """The page as UTF-8, by its byte order mark, what it declares if that fits, or what its bytes look like."""
    declared = declared_encoding(data)
    if declared is not None and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        text = data.decode(declared, "replace")
        if text.count("\ufffd") <= len(text) * 0.001:
            return text.encode("utf-8", "replace"), "utf-8"
    text, _ = decode_text(data)
    return text.encode("utf-8", "replace"), "utf-8"


def _facts(root: Any) -> dict[str, str]:
    """What the page's `meta` elements state, by name in lower case; the first of a name counts."""
    facts: dict[str, str] = {}
    for meta in root.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop")
        content = (meta.get("content") or "").strip()
        if name and content:
            facts.setdefault(name.strip().lower(), content[:1_000])
    return facts


def _all_content(root: Any, limits: ParseLimits) -> BlockCollector:
    """The blocks of the page's `main` element, which HTML keeps for what is this page's alone; of the whole page where there is none of use."""
    everything = BlockCollector(limits)
    add_markup(everything, root)
    marked = [element for element in root.iter("main", "div", "article") if _is_marked(element) and not is_skipped(element)]
    marked = marked or [element for element in root.iter("article") if not is_skipped(element)]
    if len(marked) != 1:
        return everything
    inside = BlockCollector(limits)
    add_markup(inside, marked[0])
    chars = _chars(inside)
    return inside if chars >= MIN_MARKED_CHARS or 0 < chars >= MIN_MARKED_SHARE * _chars(everything) else everything


def _is_marked(element: Any) -> bool:
    return element.tag == "main" or element.get("role") == "main"


def _chars(found: BlockCollector) -> int:
    return sum(len(block.text) for block in found.blocks)


def _is_enough(main: BlockCollector, everything: BlockCollector) -> bool:
    """Of a short page trafilatura gives the bare text, each cell of its tables in a line."""
    if {block.kind for block in main.blocks} <= {BlockKind.PARAGRAPH} and any(block.kind is BlockKind.TABLE for block in everything.blocks):
        return False
    return _chars(main) >= max(MIN_MAIN_CHARS, MIN_MAIN_SHARE * _chars(everything))


def _main_content(root: Any, limits: ParseLimits) -> BlockCollector:
    found = BlockCollector(limits)
    document = bare_extraction(root, fast=True, favor_recall=True, include_comments=False, include_tables=True, include_formatting=True)
    body = getattr(document, "body", None)
    for element in body if body is not None else ():
        _add(found, element)
    return found


def _add(found: BlockCollector, element: Any) -> None:
    """One element of trafilatura's tree, which has the names of TEI (Text Encoding Initiative)."""
    if element.tag == "head":
        level = element.get("rend", "h2")[-1:]
        found.heading(_text(element), int(level) if level.isdigit() else 2)
    elif element.tag == "list":
        found.items(_text(item) for item in element.iter("item"))
    elif element.tag == "table":
        found.table([_text(cell) for cell in row.iter("cell")] for row in element.iter("row"))
    elif element.tag == "code":
        found.code("".join(element.itertext()))
    else:
        found.paragraph(_text(element))


def _text(element: Any) -> str:
    parts = [element.text or ""]
    for child in element:
        parts += ["\n" if child.tag in ("lb", "p", "item") else "", _text(child), child.tail or ""]
    return "".join(parts)
