"""What does a Markdown file say? CommonMark with tables; facts from a front matter."""

from __future__ import annotations

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.encodings import decode_text
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits
from apps.retrieval.parsing.stated import stated_date, stated_language

_FRONT = re.compile(r"\A---[ \t]*\r?\n(.{0,10000}?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.S)
_FACT = re.compile(r"^(title|author|date|lang|language)\s*:\s*(.+?)\s*$", re.I | re.M)
_TAGS = re.compile(r"<[^>]{1,500}>")
MAX_DEPTH = 20


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """Headings, paragraphs, lists, tables and code. Markup within a line is left out, and what HTML says is kept as text."""
    text, _ = decode_text(path.read_bytes())
    facts, body = _front_matter(text)
    found = BlockCollector(limits)
    tokens = MarkdownIt("commonmark", {"maxNesting": MAX_DEPTH}).enable("table").parse(body)
    for node in SyntaxTreeNode(tokens).children:
        _add(found, node)
    title = facts.get("title") or next((block.text for block in found.blocks if block.level == 1), "")
    return ParsedDocument(
        blocks=tuple(found.blocks),
        title=title,
        author=facts.get("author", ""),
        language=stated_language(facts.get("lang", facts.get("language", ""))),
        date=stated_date(facts.get("date", "")),
        warnings=tuple(found.warnings),
    )


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    found = _FRONT.match(text)
    if found is None:
        return {}, text
    return {name.lower(): value.strip("\"'") for name, value in _FACT.findall(found[1])}, text[found.end() :]


def _add(found: BlockCollector, node: SyntaxTreeNode) -> None:
    if node.type == "heading":
        found.heading(_text(node), int(node.tag[1:]))
    elif node.type in ("bullet_list", "ordered_list"):
        found.items(_text(item) for item in node.children)
    elif node.type == "table":
        found.table([_text(cell) for cell in row.children] for part in node.children for row in part.children)
    elif node.type in ("fence", "code_block"):
        found.code(node.content)
    elif node.type == "blockquote":
        for child in node.children:
            _add(found, child)
    elif node.type == "html_block":
        found.paragraph(_TAGS.sub(" ", node.content))
    elif node.type != "hr":
        found.paragraph(_text(node))


def _text(node: SyntaxTreeNode) -> str:
    """The words of a node, each nested block on a line of its own."""
    if node.type in ("text", "code_inline", "fence", "code_block"):
        return node.content
    if node.type in ("softbreak", "hardbreak"):
        return "\n"
    if node.type == "image":
        return node.content
    if node.type == "html_inline":
        return ""
    return ("" if node.type in ("inline", "strong", "em", "link", "s") else "\n").join(_text(child) for child in node.children)
