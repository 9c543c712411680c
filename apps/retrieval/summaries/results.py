"""What do the documents found for a question say to it, in a few of their own sentences?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apps.retrieval.indexes.analysis import analyze
from apps.retrieval.search.hybrid import PassageHit, search_passages
from apps.retrieval.search.page import Search
from apps.retrieval.summaries.candidates import Candidate, candidates_of, joined
from apps.retrieval.summaries.ranking import choose_sentences
from core.types import EncodedQuery, JSONDict, JSONValue, Scope

MAX_HITS = 20
DEPTH = 5.0  # hits within which a rank loses most of its weight
RANK = 0.3  # what the rank alone counts, against the words of the question


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultSummary:
    """Sentences of the hits, those of better hits first."""

    text: str
    sentences: tuple[JSONDict, ...]
    hits: int
    documents: int
    degraded: bool

    def as_dict(self) -> JSONDict:
        """The summary on the wire."""
        sentences: list[JSONValue] = list(self.sentences)
        return {
            "query": self.text,
            "text": joined(str(sentence["text"]) for sentence in self.sentences),
            "sentences": sentences,
            "by": "extraction",
            "hits": self.hits,
            "documents": self.documents,
            "degraded": self.degraded,
        }


def summarize_results(search: Search, encoded: EncodedQuery | None, scope: Scope, *, count: int) -> ResultSummary:
    """Up to `count` sentences of the first `search.k` hits (`MAX_HITS` at most). Nothing where nothing was found."""
    found = search_passages(search.text, encoded, scope, k=min(search.k, MAX_HITS), filters=search.filters, mode=search.mode)
    candidates = candidates_of([hit.passage.text for hit in found.hits])
    chosen = choose_sentences([one.text for one in candidates], _prior(search.text, candidates), count)
    return ResultSummary(
        text=search.text,
        sentences=tuple(_as_dict(candidates[place], found.hits[candidates[place].passage]) for place in sorted(chosen)),
        hits=len(found.hits),
        documents=len({hit.passage.document_id for hit in found.hits}),
        degraded=found.degraded,
    )


def _prior(question: str, candidates: Sequence[Candidate]) -> list[float]:
    """The share of the question's terms that a sentence has, and how good its hit is."""
    terms = frozenset(analyze(question))
    prior = []
    for one in candidates:
        words = len(terms.intersection(analyze(one.text))) / max(len(terms), 1)
        prior.append((words + RANK) / (1.0 + RANK) * math.exp(-one.passage / DEPTH))
    return prior


def _as_dict(one: Candidate, hit: PassageHit) -> JSONDict:
    passage = hit.passage
    return {
        "text": one.text,
        "document": passage.document,
        "title": passage.title,
        "passage": passage.id,
        "start": passage.start + one.start,
        "end": passage.start + one.end,
        "heading": passage.heading,
        "page": passage.page,
        "url": passage.url,
        "date": passage.date.isoformat() if passage.date else None,
    }
