"""What do the documents found for a question say to it, in a few of their own sentences?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apps.retrieval.indexes.analysis import analyze
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.search.page import search_gate
from apps.retrieval.search.params import Search
from apps.retrieval.search.stored_passages import StoredPassage
from apps.retrieval.summaries.candidates import Candidate, candidates_of, joined
from apps.retrieval.summaries.writing import By, Ranked, Writer, Written
from core.types import EncodedQuery, JSONDict, JSONValue, Scope

MAX_HITS = 20
DEPTH = 5.0  # hits within which a rank loses most of its weight
RANK = 0.3  # what the rank alone counts, against the words of the question


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultSummary:
    """Sentences of the hits, those of better hits first, or what a generator made of them. `degraded` says that something could not be
    asked: words, vectors, or the generator that was to write."""

    text: str
    sentences: tuple[JSONDict, ...]
    hits: int
    documents: int
    degraded: bool
    by: By = By.EXTRACTION

    def as_dict(self) -> JSONDict:
        """The summary on the wire."""
        sentences: list[JSONValue] = list(self.sentences)
        return {
            "query": self.text,
            "text": joined(str(sentence["text"]) for sentence in self.sentences),
            "sentences": sentences,
            "by": self.by.value,
            "hits": self.hits,
            "documents": self.documents,
            "degraded": self.degraded,
        }


def summarize_results(
    search: Search, encoded: EncodedQuery | None, scope: Scope, *, count: int, write: Writer | None = None
) -> ResultSummary:
    """Up to `count` sentences of the first `search.k` hits (`MAX_HITS` at most); those that `write` has written, where it is given and
    comes to any. Nothing where nothing was found."""
    with search_gate().held():
        found = search_passages(search.text, encoded, scope, k=min(search.k, MAX_HITS), filters=search.filters, mode=search.mode)
        passages = [hit.passage for hit in found.hits]
        candidates = candidates_of([passage.text for passage in passages])
        heads = [" > ".join(part for part in (passage.title, passage.heading) if part) for passage in passages]
        ranked = Ranked(candidates=candidates, prior=_prior(search.text, candidates), heads=heads)
        extracted = sorted(ranked.best(count), key=lambda one: (one.passage, one.start))
    written = write(ranked, count=count, question=search.text) if write else Written()
    return ResultSummary(
        text=search.text,
        sentences=tuple(
            [_as_dict(one.text, passages[one.passage], 0, len(passages[one.passage].text)) for one in written.sentences]
            or [_as_dict(one.text, passages[one.passage], one.start, one.end) for one in extracted]
        ),
        hits=len(passages),
        documents=len({passage.document_id for passage in passages}),
        degraded=found.degraded or written.failed,
        by=By.GENERATOR if written.sentences else By.EXTRACTION,
    )


def _prior(question: str, candidates: Sequence[Candidate]) -> list[float]:
    """The share of the question's terms that a sentence has, and how good its hit is."""
    terms = frozenset(analyze(question))
    prior = []
    for one in candidates:
        words = len(terms.intersection(analyze(one.text))) / max(len(terms), 1)
        prior.append((words + RANK) / (1.0 + RANK) * math.exp(-one.passage / DEPTH))
    return prior


def _as_dict(text: str, passage: StoredPassage, start: int, end: int) -> JSONDict:
    """A sentence with where it stands, or where what supports it stands: `start` and `end` in the passage's text."""
    return {
        "text": text,
        "document": passage.document,
        "title": passage.title,
        "passage": passage.id,
        "start": passage.start + start,
        "end": passage.start + end,
        "heading": passage.heading,
        "page": passage.page_at(start),
        "url": passage.url,
        "date": passage.date.isoformat() if passage.date else None,
    }
