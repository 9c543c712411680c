"""How is an index brought up to the database? What changed since its revision is read in order, put in or taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from apps.retrieval.indexes.analysis import ANALYSIS
from apps.retrieval.indexes.registry import IndexPair
from apps.retrieval.models import Entry, EntryVector, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.indexing import unpack_vectors
from apps.retrieval.query_layer.layer import marked_texts
from core.errors import IndexMismatch
from core.protocols import FollowingIndex, IndexWriter, LexicalWriter, VectorWriter
from core.types import EntryKind, Facts, IndexEntry, IndexState

Put = Callable[[Sequence[Entry], int], None]  # the entries, and the revision that they are as of

CHUNK = 2000
REFRESH_EVERY = 20_000


def built_with(generation: IndexGeneration | None) -> str:
    """The tag of a vector index: generation and encoder."""
    return f"{generation.number}:{generation.encoder}" if generation else ""


def empty_index(index: FollowingIndex, kb_id: int) -> None:
    """Clears the index of a knowledge base that is gone; one that was never filled stays without a file."""
    if has_begun(index, kb_id):
        with index.exclusive(kb_id):
            index.clear(kb_id, "gone")
    index.sweep(kb_id)


def has_begun(index: FollowingIndex, kb_id: int) -> bool:
    """Whether there is an index, damaged or not."""
    try:
        state = index.state(kb_id)
    except IndexMismatch:
        return True
    return bool(state.built_with or state.revision)


def bring_up_words(kb: KnowledgeBase, kind: EntryKind, pair: IndexPair, last: int) -> bool:
    """The words index, up to the revision `last` of the latest change. Raises SearchUnavailable.

    Whether it is current: one of another analysis goes on, and is to be built anew aside.
    """
    index = pair.lexical
    return _bring_up(kb, kind, index, ANALYSIS, last, lambda *entries: put_texts(index, kb.pk, *entries), lambda _: True)


def bring_up_vectors(
    kb: KnowledgeBase, kind: EntryKind, pair: IndexPair, generation: IndexGeneration, last: int, *, in_place: bool = True
) -> bool:
    """The vector index, as `bring_up_words`. One of another generation goes on where the same encoder made it, unless it may be filled `in_place`."""
    index = pair.vector.made_by(generation.encoder)

    def may_go_on(was: str) -> bool:
        return not in_place and was.partition(":")[2] == generation.encoder

    def put(entries: Sequence[Entry], as_of: int) -> None:
        put_vectors(index, kb.pk, entries, generation, as_of)

    return _bring_up(kb, kind, index, built_with(generation), last, put, may_go_on)


def _bring_up(
    kb: KnowledgeBase,
    kind: EntryKind,
    index: FollowingIndex,
    wanted: str,
    last: int,
    put: Put,
    may_go_on: Callable[[str], bool],
) -> bool:
    def goes_on(state: IndexState) -> bool:
        return state.built_with == wanted or (state.revision > 0 and may_go_on(state.built_with))

    state = index.state(kb.pk)
    if not goes_on(state) or state.revision < last:
        with index.exclusive(kb.pk):
            state, begun = index.state(kb.pk), True
            if not goes_on(state):
                index.clear(kb.pk, wanted)
                state, begun = IndexState(revision=0, built_with=wanted), False
            apply_changes(kb, kind, state.revision, index, put, begun=begun)
    return state.built_with == wanted


def apply_changes(kb: KnowledgeBase, kind: EntryKind, since: int, index: IndexWriter, put: Put, *, begun: bool = False) -> None:
    """Puts and deletes what changed after the revision `since`, up to `kb.revision`.

    What is put becomes visible by the `REFRESH_EVERY`, so that indexes need not hold all that waits: also within a revision,
    which may be that of every entry. The revision that is noted then is the last one that is complete: whoever goes on with an
    index that was `begun` so meets entries again, and may find it partly filled at revision 0.
    """
    until = kb.revision  # whoever shares this object may write meanwhile
    if since >= until:
        return
    applied, complete = 0, since
    for entries in _changed(kb, kind, since, until):
        gone = [entry.owner_id for entry in entries if entry.deleted]
        if gone and (since or begun):
            index.delete(kb.pk, gone, as_of=until)
        put([entry for entry in entries if not entry.deleted], until)
        applied += len(entries)
        if applied >= REFRESH_EVERY:
            applied, complete = 0, max(complete, entries[-1].revision - 1)
            index.refresh(kb.pk, complete)
    index.refresh(kb.pk, until)


def _changed(kb: KnowledgeBase, kind: EntryKind, since: int, until: int) -> Iterator[list[Entry]]:
    """Chunks of entries that changed after the revision `since`, up to `until`, in order of revision."""
    last = (since, 0)
    rows = Entry.objects.filter(kb=kb, kind=kind.value, revision__lte=until).order_by("revision", "pk")
    while True:
        chunk = list(rows.filter(revision=last[0], pk__gt=last[1])[:CHUNK]) if last[1] else []
        if len(chunk) < CHUNK:
            chunk += list(rows.filter(revision__gt=last[0])[: CHUNK - len(chunk)])
        if not chunk:
            return
        yield chunk
        last = (chunk[-1].revision, chunk[-1].pk)


def put_texts(index: LexicalWriter, kb_id: int, entries: Sequence[Entry], as_of: int) -> None:
    """Puts entries into a words index, with the words that the knowledge base's dictionary marks."""
    if entries:
        marked = marked_texts(kb_id, [entry.text for entry in entries])
        rows = [IndexEntry(id=entry.owner_id, text=text, facts=_facts(entry)) for entry, text in zip(entries, marked, strict=True)]
        index.put(kb_id, rows, as_of=as_of)


def put_vectors(index: VectorWriter, kb_id: int, entries: Sequence[Entry], generation: IndexGeneration, as_of: int) -> None:
    """Puts entries into a vector index, by the vectors of the generation."""
    by_pk = {entry.pk: entry for entry in entries}
    rows = EntryVector.objects.filter(generation=generation, entry_id__in=list(by_pk)).values_list("entry_id", "vector")
    ids, packed, facts = [], [], []
    for entry_id, vector in rows:
        ids.append(by_pk[entry_id].owner_id)
        packed.append(vector)
        facts.append(_facts(by_pk[entry_id]))
    if ids:
        index.put(kb_id, ids, unpack_vectors(packed), facts, as_of=as_of)
    bare = {entry.owner_id for entry in entries}.difference(ids)  # texts that changed while no encoder was there
    index.delete(kb_id, list(bare), as_of=as_of)


def _facts(entry: Entry) -> Facts:
    return Facts(terms=tuple(entry.terms), day=entry.day)
