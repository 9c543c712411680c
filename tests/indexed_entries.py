"""Entries for tests in every place where indexes lie: on this machine and in Elasticsearch; and what a question finds of them."""

from __future__ import annotations

from dataclasses import replace

from apps.retrieval.indexes.registry import IndexPair, indexes_for
from apps.retrieval.models import IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.indexing import put_entries
from apps.retrieval.outbox.verification import Drift, find_drift
from apps.retrieval.search.candidates import find_candidates
from apps.retrieval.selectors import scope_of
from apps.retrieval.vectors.encoding import encode_texts
from core.backends import get_backend
from core.config import get_settings
from core.protocols import Encoder
from core.types import EntryKind, SearchMode

FAQ = EntryKind.FAQ
LEXICAL, VECTOR = SearchMode.LEXICAL, SearchMode.VECTOR
ALL = set(range(1, 9))

Found = tuple[set[int], bool]


def put(kb: KnowledgeBase, *ids: int) -> None:
    rows = [(id, f"annual leave rule {id}") for id in ids]
    put_entries(kb, FAQ, rows, encode_texts((FAQ, text) for _, text in rows))


def found(kb: KnowledgeBase, mode: SearchMode) -> Found:
    """What a question finds, and whether something was missing."""
    encoded = get_backend(get_settings().encoder_backend, Encoder).encode_query("annual leave")  # type: ignore[type-abstract]
    candidates = find_candidates("annual leave", encoded, kind=FAQ, scope=scope_of([kb]), k=50, mode=mode)
    return {entry.id for entry in candidates.entries}, candidates.degraded


def pair(encoder: str = "") -> IndexPair:
    """The indexes of FAQs; vectors those of the encoder, or of the one whose generation is active."""
    both, generation = indexes_for(FAQ), IndexGeneration.objects.filter(status=IndexGeneration.Status.ACTIVE).first()
    return replace(both, vector=both.vector.made_by(encoder or (generation.encoder if generation else "")))


def index_drifts(kb: KnowledgeBase) -> list[Drift]:
    """Where the indexes differ from the entries, which have no content behind them here."""
    return [drift for drift in find_drift(kb) if drift.count and drift.place in ("lexical", "vector")]
