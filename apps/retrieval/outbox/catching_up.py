"""How is an index brought up to the database? What changed since its revision is read in order, put in or taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from apps.retrieval.indexes.analysis import ANALYSIS
from apps.retrieval.indexes.registry import IndexPair
from apps.retrieval.models import Entry, EntryVector, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.indexing import unpack_vectors
from apps.retrieval.query_layer.layer import marked_texts
from core.errors import IndexMismatch
from core.protocols import FollowingIndex
from core.types import EntryKind, Facts, IndexEntry

CHUNK = 2000
REFRESH_EVERY = 20_000


def built_with(generation: IndexGeneration | None) -> str:
    """The tag of a vector index: generation and encoder."""
    return f"{generation.number}:{generation.encoder}" if generation else ""


def empty_index(index: FollowingIndex, kb_id: int, built_with: str) -> None:
    """Clears an index that has begun, or is damaged; one that was never filled stays without a file."""
    try:
        begun = bool(index.state(kb_id).built_with or index.state(kb_id).revision)
    except IndexMismatch:
        begun = True
    if begun:
        with index.exclusive(kb_id):
            index.clear(kb_id, built_with)


def bring_up_words(kb: KnowledgeBase, kind: EntryKind, pair: IndexPair, last: int) -> None:
    """The words index, up to the revision `last` of the latest change. Raises SearchUnavailable."""
    if not _has_come(pair.lexical, kb.pk, ANALYSIS, last):
        with pair.lexical.exclusive(kb.pk):
            since = _start(pair.lexical, kb.pk, ANALYSIS)
            _apply(kb, kind, since, pair.lexical, lambda entries: _put_texts(pair, kb.pk, entries))


def bring_up_vectors(kb: KnowledgeBase, kind: EntryKind, pair: IndexPair, generation: IndexGeneration, last: int) -> None:
    """The vector index, as `bring_up_words`; one of another generation begins anew."""
    if not _has_come(pair.vector, kb.pk, built_with(generation), last):
        with pair.vector.exclusive(kb.pk):
            since = _start(pair.vector, kb.pk, built_with(generation))
            _apply(kb, kind, since, pair.vector, lambda entries: _put_vectors(pair, kb.pk, entries, generation))


def _has_come(index: FollowingIndex, kb_id: int, wanted: str, last: int) -> bool:
    state = index.state(kb_id)
    return state.built_with == wanted and state.revision >= last


def _start(index: FollowingIndex, kb_id: int, wanted: str) -> int:
    """The revision that the index has reached; one that was built with something else begins anew."""
    state = index.state(kb_id)
    if state.built_with == wanted:
        return state.revision
    index.clear(kb_id, wanted)
    return 0


def _apply(kb: KnowledgeBase, kind: EntryKind, since: int, index: FollowingIndex, put: Callable[[Sequence[Entry]], None]) -> None:
    if since >= kb.revision:
        return
    applied, complete = 0, since
    for entries in _changed(kb, kind, since):
        gone = [entry.owner_id for entry in entries if entry.deleted]
        if gone and since:
            index.delete(kb.pk, gone)
        put([entry for entry in entries if not entry.deleted])
        applied += len(entries)
        if applied >= REFRESH_EVERY and entries[-1].revision - 1 > complete:
            applied, complete = 0, entries[-1].revision - 1
            index.refresh(kb.pk, complete)
    index.refresh(kb.pk, kb.revision)


def _changed(kb: KnowledgeBase, kind: EntryKind, since: int) -> Iterator[list[Entry]]:
    """Chunks of entries that changed after `since` up to the knowledge base's revision, in order of revision."""
    last = (since, 0)
    rows = Entry.objects.filter(kb=kb, kind=kind.value, revision__lte=kb.revision).order_by("revision", "pk")
    while True:
        chunk = list(rows.filter(revision=last[0], pk__gt=last[1])[:CHUNK]) if last[1] else []
        if len(chunk) < CHUNK:
            chunk += list(rows.filter(revision__gt=last[0])[: CHUNK - len(chunk)])
        if not chunk:
            return
        yield chunk
        last = (chunk[-1].revision, chunk[-1].pk)


def _put_texts(pair: IndexPair, kb_id: int, entries: Sequence[Entry]) -> None:
    if entries:
        marked = marked_texts(kb_id, [entry.text for entry in entries])
        pair.lexical.put(
            kb_id,
            [IndexEntry(id=entry.owner_id, text=text, facts=_facts(entry)) for entry, text in zip(entries, marked, strict=True)],
        )


def _put_vectors(pair: IndexPair, kb_id: int, entries: Sequence[Entry], generation: IndexGeneration) -> None:
    by_pk = {entry.pk: entry for entry in entries}
    rows = EntryVector.objects.filter(generation=generation, entry_id__in=list(by_pk)).values_list("entry_id", "vector")
    ids, packed, facts = [], [], []
    for entry_id, vector in rows:
        ids.append(by_pk[entry_id].owner_id)
        packed.append(vector)
        facts.append(_facts(by_pk[entry_id]))
    if ids:
        pair.vector.put(kb_id, ids, unpack_vectors(packed), facts)
    pair.vector.delete(kb_id, list({entry.owner_id for entry in entries}.difference(ids)))  # a text that changed while no encoder was there


def _facts(entry: Entry) -> Facts:
    return Facts(terms=tuple(entry.terms), day=entry.day)
