"""Do database, vectors and indexes agree? Counts what is missing or astray, and mends it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from django.db import transaction

from apps.retrieval.indexes.registry import IndexPart, indexes_for
from apps.retrieval.models import Entry, EntryVector, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.building_aside import rebuild_vectors, rebuild_words
from apps.retrieval.outbox.catching_up import built_with
from apps.retrieval.outbox.follower import IndexFollower, follower, vector_follower
from apps.retrieval.outbox.indexing import active_generation, delete_entries, fill_missing_vectors, lock_next_revision, put_entries
from apps.retrieval.vectors.encoding import encode_if_possible
from core.errors import IndexMismatch
from core.metrics import INDEX_DRIFT
from core.protocols import FollowingIndex
from core.types import EntryKind, Facts

MEND_CHUNK, READ_CHUNK = 1000, 200

FactsOf = Callable[[Sequence[int]], Mapping[int, Facts]]


class Content(Protocol):
    """(owner id, text) of what should be findable in a knowledge base: everything, or only what these `owners` have."""

    def __call__(self, kb: KnowledgeBase, owners: Collection[int] | None = None) -> Iterable[tuple[int, str]]: ...


_content: dict[EntryKind, Content] = {}
_facts: dict[EntryKind, FactsOf] = {}


def register_content(kind: EntryKind, content: Content, facts: FactsOf | None = None) -> None:
    """Says what should be findable, and by `facts` what owners are filtered by. Each app does so for its kind."""
    _content[kind] = content
    _facts[kind] = facts or (lambda _owners: {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """One comparison: `place` (entries, vectors, lexical or vector) lacks `missing` and has `stray` that should not be there."""

    kind: EntryKind
    place: str
    expected: int
    missing: frozenset[int]
    stray: frozenset[int]
    damage: str = ""

    @property
    def count(self) -> int:
        """How many entries the two sides disagree on; at least one where the index cannot be read."""
        return len(self.missing) + len(self.stray) + bool(self.damage)


def find_drift(kb: KnowledgeBase) -> list[Drift]:
    """Every comparison of a knowledge base, with the metric set. The indexes first follow what was committed, as a search would."""
    kb.refresh_from_db()
    damage = _follow(kb, follower()) or _follow(kb, vector_follower())
    return _counted(kb, [drift for kind in EntryKind for drift in _drifts(kb, kind, damage)])


def find_index_drift(kb: KnowledgeBase, keeping: IndexFollower) -> list[Drift]:
    """What `find_drift` says of the indexes that this follower keeps: cheap enough to be asked now and then while questions are answered."""
    kb.refresh_from_db()
    damage = _follow(kb, keeping)
    return _counted(kb, [drift for kind in EntryKind for drift in _index_drifts(kb, kind, damage, keeping)])


def _counted(kb: KnowledgeBase, drifts: list[Drift]) -> list[Drift]:
    for drift in drifts:
        INDEX_DRIFT.labels(kb=kb.slug, kind=drift.kind.value, index=drift.place).set(drift.count)
    return drifts


def repair(kb: KnowledgeBase, drifts: Iterable[Drift], keeping: IndexFollower | None = None) -> None:
    """Mends what `find_drift` found, and follows with what `keeping` (None: this process) keeps. Raises ModelUnavailable or IndexMismatch where vectors are missing and cannot be made."""
    found = {(drift.kind, drift.place): drift for drift in drifts if drift.count}
    for kind in EntryKind:
        if entries := found.get((kind, "entries")):
            _mend_entries(kb, entries)
        if vectors := found.get((kind, "vectors")):
            EntryVector.objects.filter(entry__kb=kb, entry__kind=kind.value, entry__deleted=True).delete()
        if entries or vectors:
            fill_missing_vectors(kb)
        for place in ("lexical", "vector"):
            if drift := found.get((kind, place)):
                _mend_index(kb, drift)
    with transaction.atomic():
        revision = lock_next_revision(kb)
    (keeping or follower()).follow(kb.pk, revision)


def sweep(kb: KnowledgeBase, keeping: IndexFollower) -> None:
    """Removes what builds have left whose process died, and what was kept of generations that are gone. Raises SearchUnavailable."""

    def still_there(tag: str) -> bool:
        generations = IndexGeneration.objects.filter(kb=kb).exclude(status=IndexGeneration.Status.BUILDING)
        return tag in map(built_with, generations)

    for kind in EntryKind:
        pair = indexes_for(kind)
        for part, index in ((IndexPart.WORDS, pair.lexical), (IndexPart.VECTORS, pair.vector)):
            if part in keeping.parts:
                index.sweep(kb.pk, still_there)


def entries_without_vector(kb: KnowledgeBase) -> int:
    """How many texts are found by their words only."""
    live = Entry.objects.filter(kb=kb, deleted=False)
    generation = active_generation(kb)
    return (live if generation is None else live.exclude(vectors__generation=generation)).count()


def _follow(kb: KnowledgeBase, keeping: IndexFollower) -> str:
    try:
        keeping.follow(kb.pk, kb.revision)
    except IndexMismatch as error:
        return error.message
    return ""


def _drifts(kb: KnowledgeBase, kind: EntryKind, damage: str) -> Iterator[Drift]:
    if kind in _content:
        yield _entry_drift(kb, kind)
    yield _compare(kind, "vectors", _expected(kb, kind, "lexical"), _with_vector(kb, kind))
    for keeping in {follower(), vector_follower()}:
        yield from _index_drifts(kb, kind, damage, keeping)


def _index_drifts(kb: KnowledgeBase, kind: EntryKind, damage: str, keeping: IndexFollower) -> Iterator[Drift]:
    """Of what the follower keeps; vectors that it still reads in the background are none of it yet."""
    pair, generation = indexes_for(kind), active_generation(kb)
    if IndexPart.WORDS in keeping.parts:
        yield _index_drift(kb, kind, "lexical", pair.lexical, damage)
    if IndexPart.VECTORS in keeping.parts and generation is not None and not keeping.is_reading(kb.pk, kind, generation.encoder):
        index = pair.vector.made_by(generation.encoder)
        stale = index.state(kb.pk).built_with != built_with(generation)
        yield _index_drift(kb, kind, "vector", index, damage if stale else "")


def _expected(kb: KnowledgeBase, kind: EntryKind, place: str) -> set[int]:
    """The owners that an index must hold: of all live entries, or of those with a vector."""
    live = set(Entry.objects.filter(kb=kb, kind=kind.value, deleted=False).values_list("owner_id", flat=True))
    return live if place == "lexical" else live & _with_vector(kb, kind)


def _with_vector(kb: KnowledgeBase, kind: EntryKind) -> set[int]:
    vectors = EntryVector.objects.filter(generation=active_generation(kb), entry__kb=kb, entry__kind=kind.value)
    return set(vectors.values_list("entry__owner_id", flat=True))


def _entry_drift(kb: KnowledgeBase, kind: EntryKind) -> Drift:
    """Entries against content: an entry whose text is no longer its owner's counts as missing."""
    stored = Entry.objects.filter(kb=kb, kind=kind.value, deleted=False).values_list("owner_id", "text")
    wanted, entries = _digests(_content[kind](kb)), _digests(stored.iterator(chunk_size=READ_CHUNK))
    right = {owner for owner, digest in wanted.items() if entries.get(owner) == digest}
    return Drift(
        kind=kind,
        place="entries",
        expected=len(wanted),
        missing=frozenset(wanted.keys() - right),
        stray=frozenset(entries.keys() - wanted.keys()),
    )


def _digests(texts: Iterable[tuple[int, str]]) -> dict[int, bytes]:
    """A digest of each text, by its owner: the texts of a large base take gigabytes."""
    return {owner: hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for owner, text in texts}


def _index_drift(kb: KnowledgeBase, kind: EntryKind, place: str, index: FollowingIndex, damage: str) -> Drift:
    expected = _expected(kb, kind, place)
    try:
        return _compare(kind, place, expected, index.ids(kb.pk), damage)
    except IndexMismatch as error:
        return _compare(kind, place, expected, set(), error.message)


def _compare(kind: EntryKind, place: str, expected: set[int], present: set[int], damage: str = "") -> Drift:
    missing, stray = frozenset(expected - present), frozenset(present - expected)
    return Drift(kind=kind, place=place, expected=len(expected), missing=missing, stray=stray, damage=damage)


def _mend_entries(kb: KnowledgeBase, drift: Drift) -> None:
    """Puts what is missing and leaves tombstones for what is astray; content is read again, so nothing old comes back.

    Memory holds the texts of a chunk. No query is open while it is written: SQLite would refuse what follows a write from elsewhere.
    """
    content, facts = _content[drift.kind], _facts[drift.kind]
    for owners in _chunks(drift.missing):
        if rows := list(content(kb, owners)):
            encoded = encode_if_possible([(drift.kind, text) for _, text in rows])
            put_entries(kb, drift.kind, rows, encoded, facts([owner for owner, _ in rows]))
    for owners in _chunks(drift.stray):
        still = {owner for owner, _ in content(kb, owners)}
        delete_entries(kb, drift.kind, [owner for owner in owners if owner not in still])


def _chunks(owners: Collection[int]) -> Iterator[list[int]]:
    ordered = sorted(owners)
    return (ordered[start : start + MEND_CHUNK] for start in range(0, len(ordered), MEND_CHUNK))


def _mend_index(kb: KnowledgeBase, drift: Drift) -> None:
    """Takes out what is astray and lets the index follow once more what it lacks; one that cannot be read, or lacks most, is built anew aside."""
    pair, generation = indexes_for(drift.kind), active_generation(kb)
    vector = pair.vector.made_by(generation.encoder) if generation else pair.vector
    index: FollowingIndex = pair.lexical if drift.place == "lexical" else vector
    if drift.damage or len(drift.missing) > drift.expected // 2:
        _build_anew(kb, drift)
        return
    if drift.stray:
        with index.exclusive(kb.pk):
            kb.refresh_from_db(fields=["revision"])
            revision = index.state(kb.pk).revision
            stray = drift.stray - _expected(kb, drift.kind, drift.place)  # without what has come in since they were compared
            index.delete(kb.pk, sorted(stray), as_of=max(kb.revision, revision))
            index.refresh(kb.pk, revision)
    with transaction.atomic():
        revision = lock_next_revision(kb)
        for owners in _chunks(drift.missing):
            Entry.objects.filter(kb=kb, kind=drift.kind.value, owner_id__in=owners, deleted=False).update(revision=revision)


def _build_anew(kb: KnowledgeBase, drift: Drift) -> None:
    if drift.place == "lexical":
        rebuild_words(kb, drift.kind)
    elif (generation := active_generation(kb)) is not None:
        rebuild_vectors(kb, drift.kind, generation)
