"""What lies nearest to a question? Its encoding and the searches of its vector, in this process or beside the encoder of a worker.

A person's question is encoded with the searches that every skill will want; where inference workers do both, that is one
way there and back. What was not searched on the way is asked for when it is wanted. Where the workers cannot search, this
process does, from the snapshot that they share or from the database: slower once, and right.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import zip_longest

from apps.retrieval.documents.facts import filters_for, filters_in_all
from apps.retrieval.indexes.analysis import simplify
from apps.retrieval.indexes.registry import IndexPart, indexes_for
from apps.retrieval.outbox.follower import IndexFollower, follower, vector_follower
from apps.retrieval.outbox.indexing import unpack_vectors
from apps.retrieval.search.stored_passages import KINDS, kinds_in
from apps.retrieval.selectors import owners_with_vector, stored_vectors
from apps.retrieval.vectors.encoding import encoder
from core.backends import get_backend
from core.config import get_settings
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded, SearchUnavailable
from core.metrics import SEARCH_FALLBACKS
from core.protocols import NearestSearch
from core.types import NO_FILTERS, EncodedQuery, EntryKind, Filters, FloatArray, Hit, Scope, VectorSearch

log = logging.getLogger(__name__)

PROPOSED: Mapping[EntryKind, int] = {EntryKind.FAQ: 20, EntryKind.PASSAGE: 30, EntryKind.QUESTION: 30}
IDLE_S = 300.0


class LocalNearest:
    """NearestSearch in this process: its encoder, and the vectors that `keeping` follows here."""

    def __init__(self, keeping: Callable[[], IndexFollower] = follower) -> None:
        self._keeping = keeping

    def encode(self, text: str, searches: Sequence[VectorSearch]) -> EncodedQuery:
        """One question with its token vectors; the searches are done when they are wanted, which costs no more here."""
        return encoder().encode_query(text)

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
        """For each row up to `k` hits. Raises IndexMismatch, SearchUnavailable."""
        keeping = self._keeping()
        follow_search(keeping, search)
        return search_followed(keeping, vectors, encoder, search)


def follow_search(keeping: IndexFollower, search: VectorSearch, *, wait_s: float = -1) -> bool:
    """Brings the indexes to the revisions of the search, as `IndexFollower.follow`; without revisions, each that was never followed."""
    followed = [keeping.follow(kb_id, revision, search.kind, wait_s=wait_s) for kb_id, revision in wanted_revisions(search)]
    return all(followed)


def wanted_revisions(search: VectorSearch) -> list[tuple[int, int]]:
    """Each knowledge base of the search with the revision that its index must have; 0 where any will do."""
    return list(zip_longest(search.kb_ids, search.revisions, fillvalue=0))


def search_followed(keeping: IndexFollower, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
    """For each row up to `k` hits of what was followed so far. Raises IndexMismatch where another encoder built an index."""
    for kb_id in search.kb_ids:
        keeping.check_encoder(kb_id, search.kind, encoder)
    index, scope = indexes_for(search.kind).vector.made_by(encoder), Scope(kb_ids=search.kb_ids)
    return [index.search(vector, search.k, scope, search.filters) for vector in vectors]


class SpareVectors:
    """Vectors of this process for as long as inference workers cannot search theirs; forgotten `IDLE_S` after the last search."""

    def __init__(self) -> None:
        self._local = LocalNearest(vector_follower)
        self._lock = threading.Lock()
        self._searching = 0
        self._used_at = 0.0
        self._timer: threading.Timer | None = None

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
        """As `LocalNearest.search`."""
        with self._lock:
            self._searching += 1
            self._watch()
        try:
            return self._local.search(vectors, encoder, search)
        finally:
            with self._lock:
                self._searching -= 1
                self._used_at = time.monotonic()

    def release_if_idle(self) -> None:
        """Gives the memory back, or looks again later where somebody searched lately."""
        with self._lock:
            self._timer = None
            if self._searching or time.monotonic() - self._used_at < IDLE_S:
                self._watch()
                return
            vector_follower().close()
            vector_follower.cache_clear()
            for kind in EntryKind:
                release = getattr(indexes_for(kind).vector, "release", None)
                if release is not None:
                    release()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(IDLE_S, self.release_if_idle)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Ends the watch."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None


@cache
def spare_vectors() -> SpareVectors:
    """The process-wide ones."""
    return SpareVectors()


def nearest_search() -> NearestSearch:
    """The process's NearestSearch."""
    return get_backend(get_settings().nearest_search, NearestSearch)  # type: ignore[type-abstract]


def keeps_vectors() -> bool:
    """Whether this process follows the vector indexes itself."""
    return IndexPart.VECTORS in follower().parts


def question_searches(scope: Scope) -> list[VectorSearch]:
    """What the skills will look for by a question's vector."""
    if not scope.kb_ids:
        return []
    return [vector_search(EntryKind.FAQ, scope, PROPOSED[EntryKind.FAQ]), *document_searches(scope, PROPOSED[EntryKind.PASSAGE])]


def document_searches(scope: Scope, k: int, filters: Filters = NO_FILTERS) -> list[VectorSearch]:
    """A search for each kind of entries of documents that the scope has, within what its groups may see and the filters admit."""
    allowed = filters_in_all((filters, filters_for(groups=scope.groups)))
    return [vector_search(kind, scope, k, allowed) for kind in KINDS if kind in kinds_in(scope)]


def vector_search(kind: EntryKind, scope: Scope, k: int, filters: Filters = NO_FILTERS) -> VectorSearch:
    """The search of a scope."""
    return VectorSearch(kind=kind, k=k, kb_ids=scope.kb_ids, revisions=scope.revisions, filters=filters)


def encode_question(text: str, searches: Sequence[VectorSearch] = ()) -> EncodedQuery:
    """A question with its vectors, from a cache where it was asked before, and what was found on the way. Raises ModelUnavailable, Overloaded, DeadlineExceeded."""
    return nearest_search().encode(simplify(text), searches)


def encode_question_if_possible(text: str, searches: Sequence[VectorSearch] = ()) -> EncodedQuery | None:
    """Like `encode_question`, but None where no encoder answers in time: words must then do."""
    try:
        return encode_question(text, searches)
    except (ModelUnavailable, Overloaded, DeadlineExceeded) as error:
        log.warning("question not encoded error=%s", error.code)
        return None


def nearest_to(encoded: EncodedQuery, search: VectorSearch) -> list[Hit]:
    """Up to `k` hits, best first: those found on the way, else searched now. Raises IndexMismatch, SearchUnavailable."""
    for done, hits in encoded.near.items():
        if done.k >= search.k and replace(done, k=search.k) == search:
            return list(hits[: search.k])
    return search_nearest(encoded.vector[None], encoded.encoder, search)[0]


def search_nearest(vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
    """For each row of float32[n, dim] up to `k` hits, best first. Raises IndexMismatch, SearchUnavailable."""
    try:
        return nearest_search().search(vectors, encoder, search)
    except SearchUnavailable as error:
        if keeps_vectors():
            raise
        reason = str(error.details.get("reason", "unavailable"))
        SEARCH_FALLBACKS.labels(reason).inc()
        log.warning("vectors searched here, not by an inference worker reason=%s %s", reason, error.message)
        return spare_vectors().search(vectors, encoder, search)


def entry_vectors(kind: EntryKind, kb_ids: Sequence[int], ids: Sequence[int], encoder: str) -> dict[int, FloatArray]:
    """float32[dim] of each of these entries that has a vector by the encoder: from the index that is kept here, else from the database."""
    if not keeps_vectors():
        packed = stored_vectors(kind, ids, follower().generations(kb_ids, kind, encoder))
        return dict(zip(packed, unpack_vectors(list(packed.values())), strict=True)) if packed else {}
    found: dict[int, FloatArray] = {}
    for kb_id in kb_ids:
        found |= indexes_for(kind).vector.made_by(encoder).vectors(kb_id, ids)
    return found


def ids_with_vector(kind: EntryKind, kb_id: int, encoder: str) -> list[int]:
    """Every entry that the encoder's vectors can find, in order."""
    if keeps_vectors():
        return sorted(indexes_for(kind).vector.made_by(encoder).ids(kb_id))
    return owners_with_vector(kind, kb_id, follower().generations([kb_id], kind, encoder))
