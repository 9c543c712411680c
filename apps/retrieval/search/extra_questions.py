"""Which passages do extra questions speak for, and which of a passage's questions says the most for it?"""

from __future__ import annotations

from collections.abc import Sequence

from apps.retrieval.search.fusion import Scored
from apps.retrieval.search.stored_passages import passages_of_questions
from core.types import EntryKind


def of_passages(kind: EntryKind, found: Sequence[Scored]) -> Sequence[Scored]:
    """Scores of passages; an extra question stands for the passage that it belongs to."""
    if kind is EntryKind.PASSAGE:
        return found
    owners = passages_of_questions([one.id for one in found])
    best: dict[int, Scored] = {}
    for one in found:
        if (owner := owners.get(one.id)) is not None:
            asked = Scored(owner, one.cosine, one.bm25, question=one.id)
            best[owner] = better_of(best[owner], asked) if owner in best else asked
    return list(best.values())


def better_of(one: Scored, other: Scored) -> Scored:
    """The best of what a passage and its questions say."""
    meaning = other if _cosine(other) > _cosine(one) else one
    asked = max((each for each in (one, other) if each.question is not None), key=lambda each: (each.bm25, _cosine(each)), default=None)
    question = asked.question if asked is not None and (asked.bm25 > 0 or asked is meaning) else None
    return Scored(one.id, meaning.cosine, max(one.bm25, other.bm25), question=question)


def _cosine(one: Scored) -> float:
    return -1.0 if one.cosine is None else one.cosine
