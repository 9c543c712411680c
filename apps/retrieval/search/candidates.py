"""Which entries may be what a question means: the union of what words and vectors find, each with both scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.outbox.follower import follower
from apps.retrieval.query_layer.layer import search_words
from apps.retrieval.search.nearest import entry_vectors, nearest_to, vector_search
from apps.retrieval.selectors import stored_tokens
from apps.retrieval.vectors.token_vectors import unpack_tokens
from core.errors import SearchUnavailable
from core.types import NO_FILTERS, EncodedQuery, EntryKind, Filters, FloatArray, Hit, Scope, SearchMode

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class EntryScores:
    """An entry that may fit: its cosine to the question (None where no vectors are at hand) and its normalised BM25 (0..1).

    `vector` float32[dim] and `tokens` int8[tokens, kept] are what is stored of it, or None.
    """

    id: int
    cosine: float | None
    bm25: float
    vector: FloatArray | None = None
    tokens: NDArray[np.int8] | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """What was found, in no order; `degraded` where an index could not be asked, or not be brought up to the database."""

    entries: list[EntryScores]
    degraded: bool = False


def find_candidates(
    text: str,
    encoded: EncodedQuery | None,
    *,
    kind: EntryKind,
    scope: Scope,
    k: int,
    mode: SearchMode = SearchMode.HYBRID,
    filters: Filters = NO_FILTERS,
) -> Candidates:
    """Up to `k` entries that the filters admit from each index that the mode asks, in no order.

    The indexes first catch up with the database. One that cannot be reached is left out: with neither of them nothing is
    found. In hybrid mode, lexical finds get their cosine from the stored vectors, and all get what else is stored, so that
    both kinds can be compared. Raises IndexMismatch where vectors would be searched that another encoder made.
    """
    followed = [follower().follow(kb_id, revision, kind) for kb_id, revision in zip(scope.kb_ids, scope.revisions, strict=False)]
    lexical, behind = indexes_for(kind).lexical, not all(followed)
    words, no_words = asked(lambda: search_words(lexical, text, k, scope, filters) if mode is not SearchMode.VECTOR else [])
    if encoded is None or mode is SearchMode.LEXICAL:
        return Candidates([EntryScores(hit.id, None, hit.score) for hit in words], behind or no_words)
    for kb_id in scope.kb_ids:
        follower().check_encoder(kb_id, kind, encoded.encoder)
    near, no_vectors = asked(lambda: nearest_to(encoded, vector_search(kind, scope, k, filters)))
    if mode is SearchMode.VECTOR:
        return Candidates([EntryScores(hit.id, hit.score, 0.0) for hit in near], behind or no_vectors)
    joined, unread = asked(lambda: _joined(encoded, kind, scope, near, words))
    left = [EntryScores(hit.id, None, hit.score) for hit in words] if unread else joined
    return Candidates(left, behind or no_words or no_vectors or unread)


def asked(search: Callable[[], list[T]]) -> tuple[list[T], bool]:
    """What an index gives, and whether it could not be reached."""
    try:
        return search(), False
    except SearchUnavailable:
        return [], True


def _joined(encoded: EncodedQuery, kind: EntryKind, scope: Scope, near: Sequence[Hit], words: Sequence[Hit]) -> list[EntryScores]:
    cosines = {hit.id: hit.score for hit in near}
    bm25 = {hit.id: hit.score for hit in words}
    ids = list(dict.fromkeys([*cosines, *bm25]))
    vectors = entry_vectors(kind, scope.kb_ids, ids, encoded.encoder)
    generations = follower().generations(scope.kb_ids, kind, encoded.encoder)
    tokens = stored_tokens(kind, ids, generations) if encoded.token_vectors is not None else {}
    for id in ids:
        if id not in cosines and id in vectors:
            cosines[id] = float(vectors[id] @ encoded.vector)
    return [
        EntryScores(id, cosines.get(id), bm25.get(id, 0.0), vectors.get(id), unpack_tokens(encoded.encoder, tokens.get(id))) for id in ids
    ]
