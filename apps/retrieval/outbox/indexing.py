"""How content becomes findable: the write side of the outbox.

Callers encode first (`encode_if_possible`, no transaction held), then write their rows and `put_entries` in one transaction.
Where no encoder can be reached the entries go in without vectors: words find them at once, and `fill_missing_vectors`
adds the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from apps.retrieval.models import Entry, EntryVector, IndexGeneration, KnowledgeBase
from apps.retrieval.vectors.encoding import EncodedTexts, encode_if_possible, encoder
from core.errors import IndexMismatch, NotFound
from core.types import NO_FACTS, EntryKind, Facts, FloatArray

FILL_CHUNK = 1000


def lock_kb(kb: KnowledgeBase) -> KnowledgeBase:
    """The knowledge base with its revision of now. Inside a transaction, until whose end nobody else changes what it holds.

    Raises NotFound where it was deleted meanwhile: jobs and requests may take longer than it lives.
    """
    locked = KnowledgeBase.objects.select_for_update().only("revision").filter(pk=kb.pk).first()
    if locked is None:
        raise NotFound("The knowledge base was deleted meanwhile.")
    return locked


def lock_next_revision(kb: KnowledgeBase) -> int:
    """Takes the knowledge base's next revision. Revisions commit in order; otherwise as `lock_kb`."""
    locked = lock_kb(kb)
    locked.revision += 1
    locked.save(update_fields=["revision"])
    kb.revision = locked.revision
    return locked.revision


def active_generation(kb: KnowledgeBase, encoder_id: str | None = None) -> IndexGeneration | None:
    """The generation that searches use; the first one is made for the encoder at hand.

    Raises IndexMismatch where the active generation was built by another encoder.
    """
    generation = IndexGeneration.objects.filter(kb=kb, status=IndexGeneration.Status.ACTIVE).first()
    if encoder_id is None:
        return generation
    if generation is None:
        return IndexGeneration.objects.create(
            kb=kb, number=next_generation_number(kb), encoder=encoder_id, status=IndexGeneration.Status.ACTIVE, activated_at=timezone.now()
        )
    if generation.encoder != encoder_id:
        raise mismatch(kb.slug, generation.encoder, encoder_id)
    return generation


def mismatch(slug: str, built_by: str, now: str) -> IndexMismatch:
    """The refusal to search or extend an index with another encoder than built it."""
    return IndexMismatch(
        f"The index of {slug!r} was built by {built_by}, but the encoder is {now}. Run `manage.py reindex --kb {slug}`, or set QA_ENCODER back.",
        repair=f"manage.py reindex --kb {slug}",
    )


def next_generation_number(kb: KnowledgeBase) -> int:
    """One more than the highest number so far."""
    return (IndexGeneration.objects.filter(kb=kb).aggregate(Max("number"))["number__max"] or 0) + 1


@transaction.atomic
def put_entries(
    kb: KnowledgeBase,
    kind: EntryKind,
    rows: Sequence[tuple[int, str]],
    encoded: EncodedTexts | None,
    facts: Mapping[int, Facts] | None = None,
) -> int:
    """Makes (owner id, text) rows findable, with the facts of each owner, replacing what those owners had. Returns the revision.

    A text that is not among `encoded` goes in without a vector. Raises IndexMismatch where another encoder built the index.
    """
    revision = lock_next_revision(kb)
    entries = Entry.objects.bulk_create(
        [_entry(kb, kind, revision, owner, text, (facts or {}).get(owner, NO_FACTS)) for owner, text in rows],
        update_conflicts=True,
        unique_fields=["kind", "owner_id"],
        update_fields=["kb", "text", "terms", "day", "revision", "deleted"],
    )
    EntryVector.objects.filter(entry__in=[entry.pk for entry in entries]).delete()  # of every generation: the text may be another
    if encoded and (generation := active_generation(kb, encoded.encoder)):
        put_vectors(generation, entries, encoded)
    return revision


def _entry(kb: KnowledgeBase, kind: EntryKind, revision: int, owner: int, text: str, facts: Facts) -> Entry:
    return Entry(
        kb=kb, kind=kind.value, owner_id=owner, text=text, terms=list(facts.terms), day=facts.day, revision=revision, deleted=False
    )


@transaction.atomic
def retag_entries(kb: KnowledgeBase, kind: EntryKind, facts: Mapping[int, Facts]) -> int:
    """Gives the entries of these owners, all of which have one, other facts; texts and vectors stay. Returns the revision."""
    revision = lock_next_revision(kb)
    Entry.objects.bulk_create(
        [_entry(kb, kind, revision, owner, "", its) for owner, its in facts.items()],
        update_conflicts=True,
        unique_fields=["kind", "owner_id"],
        update_fields=["terms", "day", "revision"],
    )
    return revision


def put_vectors(generation: IndexGeneration, entries: Sequence[Entry], encoded: EncodedTexts) -> int:
    """Stores the vectors of those entries whose very text was encoded. Returns how many."""
    found = [(entry.pk, place) for entry in entries if (place := encoded.places.get((EntryKind(entry.kind), entry.text))) is not None]
    EntryVector.objects.bulk_create(
        [
            EntryVector(entry_id=pk, generation=generation, vector=pack_vector(encoded.vectors[place]), tokens=encoded.tokens[place])
            for pk, place in found
        ],
        update_conflicts=True,
        unique_fields=["entry", "generation"],
        update_fields=["vector", "tokens"],
    )
    return len(found)


@transaction.atomic
def delete_entries(kb: KnowledgeBase, kind: EntryKind, owner_ids: Sequence[int]) -> int:
    """Leaves tombstones for these owners' entries. Returns the revision."""
    revision = lock_next_revision(kb)
    entries = Entry.objects.filter(kb=kb, kind=kind.value, owner_id__in=owner_ids)
    EntryVector.objects.filter(entry__in=entries).delete()
    entries.update(deleted=True, text="", revision=revision)
    return revision


def fill_missing_vectors(kb: KnowledgeBase) -> int:
    """Encodes the entries that went in while no encoder was there. Returns how many."""
    done = 0
    generation = active_generation(kb, encoder().model_id)
    while True:
        entries = list(Entry.objects.filter(kb=kb, deleted=False).exclude(vectors__generation=generation).order_by("pk")[:FILL_CHUNK])
        if not entries or generation is None:
            return done
        encoded = encode_if_possible([(EntryKind(entry.kind), entry.text) for entry in entries])
        if encoded is None:
            return done
        with transaction.atomic():
            revision = lock_next_revision(kb)
            unchanged = list(Entry.objects.filter(pk__in=[entry.pk for entry in entries], deleted=False))
            done += put_vectors(generation, unchanged, encoded)
            Entry.objects.filter(pk__in=[entry.pk for entry in unchanged]).update(revision=revision)


def pack_vector(vector: FloatArray) -> bytes:
    """A vector as the database keeps it: little-endian float16."""
    return np.asarray(vector, dtype="<f2").tobytes()


def unpack_vectors(rows: Sequence[bytes | memoryview]) -> FloatArray:
    """float32[n, dim] from packed vectors of one length."""
    return np.stack([np.frombuffer(row, dtype="<f2") for row in rows]).astype(np.float32)
