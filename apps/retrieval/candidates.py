"""Which entries may be what a question means: the union of what words and vectors find, each with both scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.retrieval.follower import follower
from apps.retrieval.registry import IndexPair, indexes_for
from core.types import EncodedQuery, EntryKind, Hit, Scope, SearchMode


@dataclass(frozen=True, slots=True)
class EntryScores:
    """An entry that may fit: its cosine to the question (None where no vectors are at hand) and its normalised BM25 (0..1)."""

    id: int
    cosine: float | None
    bm25: float


def find_candidates(
    text: str, encoded: EncodedQuery | None, *, kind: EntryKind, scope: Scope, k: int, mode: SearchMode = SearchMode.HYBRID
) -> list[EntryScores]:
    """Up to `k` entries from each index that the mode asks, in no order. The indexes first catch up with the database.

    Raises IndexMismatch where vectors would be searched that another encoder made. Lexical finds get their cosine from the stored vectors, so both scores are there wherever both can be.
    """
    for kb_id, revision in zip(scope.kb_ids, scope.revisions, strict=False):
        follower().follow(kb_id, revision)
    if encoded is not None and mode is not SearchMode.LEXICAL:
        for kb_id in scope.kb_ids:
            follower().check_encoder(kb_id, encoded.encoder)
    pair = indexes_for(kind)
    words = pair.lexical.search_normalized(text, k, scope) if mode is not SearchMode.VECTOR else []
    near = pair.vector.search(encoded.vector, k, scope) if encoded is not None and mode is not SearchMode.LEXICAL else []
    bm25 = {hit.id: hit.score for hit in words}
    cosines = _cosines(pair, encoded, near, [hit.id for hit in words], scope)
    return [EntryScores(id=id, cosine=cosines.get(id), bm25=bm25.get(id, 0.0)) for id in dict.fromkeys([*cosines, *bm25])]


def _cosines(pair: IndexPair, encoded: EncodedQuery | None, near: Sequence[Hit], others: Sequence[int], scope: Scope) -> dict[int, float]:
    cosines = {hit.id: hit.score for hit in near}
    missing = [id for id in others if id not in cosines]
    if encoded is None or not missing:
        return cosines
    for kb_id in scope.kb_ids:
        stored = pair.vector.vectors(kb_id, missing)
        if stored:
            scores = np.stack(list(stored.values())) @ encoded.vector
            cosines.update(zip(stored, (float(score) for score in scores), strict=True))
    return cosines
