"""Which sentences say most of what a text says, without saying it twice? By the words that they share; no model is asked.

LexRank (Erkan and Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text Summarization", 2004) with a prior, as in
topic-sensitive PageRank (Otterbacher et al. 2005), then maximal marginal relevance (Carbonell and Goldstein 1998). The encoder's
sentence vectors in place of words were no better: see ADR 0028.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from apps.retrieval.indexes.analysis import analyze
from core.types import FloatArray

MAX_SENTENCES = 200
DAMPING = 0.5  # half of a sentence's weight comes from sentences like it, half from its prior
ITERATIONS = 30
NOVELTY = 0.3  # what likeness to a chosen sentence costs
SAME = 0.9  # from this likeness on it says the same
FLOOR = 0.1


def choose_sentences(sentences: Sequence[str], prior: Sequence[float], count: int) -> list[int]:
    """The places of up to `count` sentences, the best first. `prior` is what speaks for each beforehand (0 to 1).

    At most `MAX_SENTENCES` are taken: 200 of 40 words cost about 30 ms.
    """
    if not sentences:
        return []
    alike = similarities(sentences)
    return _diverse(centrality(alike, np.asarray(prior, dtype=np.float32) + FLOOR), alike, count)


def similarities(sentences: Sequence[str]) -> FloatArray:
    """float32[n, n]: cosines of the sentences' terms, weighted by how few of the sentences have them."""
    counts = [Counter(analyze(sentence)) for sentence in sentences]
    shared = Counter(term for terms in counts for term in terms)
    column = {term: number for number, term in enumerate(shared)}
    rows = np.zeros((len(sentences), max(len(column), 1)), dtype=np.float32)
    for row, terms in zip(rows, counts, strict=True):
        for term, count in terms.items():
            row[column[term]] = (1.0 + np.log(count)) * np.log1p(len(sentences) / shared[term])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return np.asarray(rows @ rows.T, dtype=np.float32)


def centrality(alike: FloatArray, prior: FloatArray) -> FloatArray:
    """float32[n], summing to 1: where a walk is that goes on to a like sentence, or starts anew by the prior."""
    steps = alike.copy()
    np.fill_diagonal(steps, 0.0)
    sums = steps.sum(axis=1, keepdims=True)
    steps = np.where(sums > 0, steps / np.maximum(sums, 1e-9), 1.0 / len(steps))
    start = prior / prior.sum()
    found = start
    for _ in range(ITERATIONS):
        found = (1.0 - DAMPING) * start + DAMPING * (found @ steps)
    return np.asarray(found, dtype=np.float32)


def _diverse(scores: FloatArray, alike: FloatArray, count: int) -> list[int]:
    spread = max(float(np.ptp(scores)), 1e-9)
    left = (scores - scores.min()) / spread * (1.0 - NOVELTY)
    chosen: list[int] = []
    while len(chosen) < min(count, len(scores)):
        said = alike[:, chosen].max(axis=1) if chosen else np.zeros(len(scores), dtype=np.float32)
        values = left - NOVELTY * said
        values[chosen] = -np.inf
        values[said > SAME] = -np.inf
        if not np.isfinite(values.max()):
            break
        chosen.append(int(values.argmax()))
    return chosen
