"""Which documents has the demo? Manuals and policies of the invented company, as Markdown files with headings and paragraphs."""

from __future__ import annotations

from pathlib import Path

from apps.accounts.permissions import Caller
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.services import save_documents
from apps.retrieval.documents.text_blocks import blocks_of_text
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.parsing.parsed import Block, BlockKind
from core.types import Locale

FOLDER = Path(__file__).resolve().parent / "demo" / "documents"


def load_demo_documents(kb: KnowledgeBase, locale: Locale, caller: Caller) -> int:
    """Puts the documents of one language into the knowledge base, published; how many there are."""
    readings = [read_demo_document(path) for path in sorted(FOLDER.glob(f"*.{locale}.md"))]
    save_documents(kb, [draft_of(reading) for reading in readings], caller)
    return len(readings)


def read_demo_document(path: Path) -> Reading:
    """One file: its first line is the title, a line after `##` a heading, all else paragraphs. The id is the name without the language."""
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    id, locale, _ = path.name.split(".")
    row = DocumentRow(id=id, title=first.lstrip("# "), text=text.strip(), language=locale, status=str(Document.Status.PUBLISHED))
    return Reading(row=row, blocks=tuple(map(_with_heading, blocks_of_text(text))))


def _with_heading(block: Block) -> Block:
    if not block.text.strip().startswith("## "):
        return block
    return Block(kind=BlockKind.HEADING, text=block.text.strip().removeprefix("## "), level=2)
