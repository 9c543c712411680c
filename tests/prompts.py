"""What do the sources of a prompt look like? Passages of an English handbook, numbered from one."""

from __future__ import annotations

from apps.retrieval.grounding.prompt import PromptSource, choose_sources
from apps.retrieval.search.hybrid import PassageHit
from apps.retrieval.search.stored_passages import StoredPassage


def _hit(text: str, *, title: str = "Handbook", number: int = 1) -> PassageHit:
    passage = StoredPassage(
        id=number, document_id=number, document=f"d{number}", title=title, heading="", text=text, start=0, end=len(text), page=None, later_pages="",
        url="", language="en", author="", category="", tags=(), date=None,
    )  # fmt: skip
    return PassageHit(passage=passage, score=1.0, cosine=None, bm25=1.0)


def sources(*texts: str, max_tokens: int = 1000) -> tuple[PromptSource, ...]:
    """The texts as sources, as many as fit."""
    return choose_sources([_hit(text, number=number) for number, text in enumerate(texts, 1)], max_tokens=max_tokens)
