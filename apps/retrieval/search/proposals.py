"""Which passages may answer a question? What words and vectors propose, with the scores that both give them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.outbox.follower import follower
from apps.retrieval.query_layer.layer import search_words
from apps.retrieval.search.extra_questions import better_of, of_passages
from apps.retrieval.search.fusion import Scored
from apps.retrieval.search.nearest import PROPOSED, document_searches, entry_vectors, nearest_to
from apps.retrieval.search.stored_passages import kinds_in
from core.errors import IndexMismatch, ModelUnavailable, QAError, SearchUnavailable
from core.types import NO_FILTERS, EncodedQuery, EntryKind, Filters, Hit, Scope, SearchMode, VectorSearch

log = logging.getLogger(__name__)

NO_VECTORS = (SearchUnavailable, IndexMismatch)  # of one kind: those of another may be there by this encoder already
POOL = PROPOSED[EntryKind.PASSAGE]  # proposals of each index, at least


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the indexes propose: each passage's scores, by its id."""

    scored: tuple[Scored, ...] = ()
    degraded: bool = False


def propose(
    text: str, encoded: EncodedQuery | None, scope: Scope, *, pool: int, filters: Filters = NO_FILTERS, mode: SearchMode = SearchMode.HYBRID
) -> Proposals:
    """What words and vectors find, up to `pool` of each; in hybrid mode all with a cosine where vectors are at hand."""
    kinds = kinds_in(scope)
    if not kinds:
        return Proposals()
    revisions = list(zip(scope.kb_ids, scope.revisions, strict=False))
    followed = [follower().follow(kb_id, revision, kind) for kind in kinds for kb_id, revision in revisions]
    usable, degraded = _usable(encoded, scope, mode)
    degraded = degraded or not all(followed)
    scored: dict[int, Scored] = {}
    for search in document_searches(scope, pool, filters):
        found, failed = _propose_kind(search, text, usable, scope, mode)
        degraded = degraded or failed
        for one in of_passages(search.kind, found):
            scored[one.id] = better_of(scored[one.id], one) if one.id in scored else one
    return Proposals(tuple(scored.values()), degraded)


def _usable(encoded: EncodedQuery | None, scope: Scope, mode: SearchMode) -> tuple[EncodedQuery | None, bool]:
    """The encoded question where the vectors may be searched with it, and whether that should have been so and is not."""
    if mode is SearchMode.LEXICAL:
        return None, False
    try:
        for kb_id in scope.kb_ids if encoded else ():
            follower().check_encoder(kb_id, EntryKind.PASSAGE, encoded.encoder if encoded else "")
    except IndexMismatch:
        if mode is SearchMode.VECTOR:
            raise
        return None, True
    if encoded is None and mode is SearchMode.VECTOR:
        raise ModelUnavailable("No encoder can be reached, so vectors cannot be searched. Try mode=lexical.")
    return encoded, encoded is None


def _propose_kind(
    search: VectorSearch, text: str, encoded: EncodedQuery | None, scope: Scope, mode: SearchMode
) -> tuple[list[Scored], bool]:
    lexical = indexes_for(search.kind).lexical
    words, no_words = (
        ([], False)
        if mode is SearchMode.VECTOR
        else _asked(lambda: search_words(lexical, text, search.k, scope, search.filters, normalized=False))
    )
    near, no_vectors = ([], False) if encoded is None else _asked(lambda: nearest_to(encoded, search), NO_VECTORS)
    if no_words and (no_vectors or encoded is None) or no_vectors and mode is SearchMode.VECTOR:
        raise SearchUnavailable("No index can be reached at the moment.")
    bm25 = {hit.id: hit.score for hit in words}
    cosines: dict[int, float | None] = {hit.id: hit.score for hit in near}
    missing = [id for id in bm25 if id not in cosines]
    if encoded is not None and missing and not no_vectors:
        found = entry_vectors(search.kind, scope.kb_ids, missing, encoded.encoder)
        if found:
            cosines |= zip(found, (np.stack(list(found.values())) @ encoded.vector).tolist(), strict=True)
    ids = dict.fromkeys([*cosines, *bm25])
    return [Scored(id, cosines.get(id), bm25.get(id, 0.0)) for id in ids], no_words or no_vectors


def _asked(search: Callable[[], list[Hit]], lacking: tuple[type[QAError], ...] = (SearchUnavailable,)) -> tuple[list[Hit], bool]:
    """The hits, and whether the index could not be asked."""
    try:
        return search(), False
    except lacking as error:
        log.warning("index left out of a search error=%s", error.message)
        return [], True
