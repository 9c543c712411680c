"""What do the sources of a prompt look like? Passages of an English handbook, numbered from one."""

from __future__ import annotations

from apps.retrieval.grounding.prompt import PromptSource, choose_sources
from apps.retrieval.search.hybrid import PassageHit
from apps.retrieval.search.stored_passages import StoredPassage


def hit(text: str, *, number: int = 1, start: int = 0, document: int | None = None) -> PassageHit:
    """A passage of the handbook with this id, in a document of its own where none is named."""
    document = document or number
    passage = StoredPassage(
        id=number, document_id=document, document=f"d{document}", title="Handbook", heading="", text=text, start=start,
        end=start + len(text), page=None, later_pages="", url="", language="en", author="", category="", tags=(), date=None,
    )  # fmt: skip
    return PassageHit(passage=passage, score=1.0, cosine=None, bm25=1.0)


def sources(*texts: str, max_tokens: int = 1000) -> tuple[PromptSource, ...]:
    """The texts as sources, as many as fit."""
    return choose_sources([hit(text, number=number) for number, text in enumerate(texts, 1)], max_tokens=max_tokens)
