"""How a knowledge base changes its encoder: vectors are made aside, then everything switches at once, and can go back.

A building generation is filled in chunks and survives an interruption. The switch happens under the knowledge base's lock
and takes a new revision. A vector index that all processes share is filled before it, and switched with it. Those that each
process has in memory follow it; where the encoder is another, they begin with what was left on disk before it.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.audit import record
from apps.accounts.permissions import Caller
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Entry, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.building_aside import last_revision, rebuild_words, save_vectors_beforehand, shared_vectors_aside, switching
from apps.retrieval.outbox.catching_up import has_begun
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.indexing import fill_missing_vectors, lock_kb, lock_next_revision, next_generation_number, put_vectors
from apps.retrieval.vectors.encoding import encode_texts, encoder
from core.errors import InvalidRequest
from core.types import EntryKind

CHUNK = 1000
LAST_CHUNK = 200

Progress = Callable[[int], None]
_Status = IndexGeneration.Status


def entries_to_encode(kb: KnowledgeBase) -> int:
    """How many texts a rebuild has to encode in all."""
    return Entry.objects.filter(kb=kb, deleted=False).count()


def rebuild(kb: KnowledgeBase, caller: Caller, progress: Progress | None = None) -> IndexGeneration:
    """A new generation of all vectors by the present encoder, active when this returns; the words index is built anew too.

    `progress` is told how many texts were done since its last call, those of an interrupted build included. Edits made
    meanwhile are in it. The generation before is kept for `roll_back`, older ones go. Two builds at a time fill and switch one
    generation. Raises ModelUnavailable without encoder, InvalidRequest where a build by another encoder has replaced this one.
    """
    generation = _building(kb)
    report = progress or (lambda _count: None)
    report(generation.vectors.count())
    while _missing(generation).count() > LAST_CHUNK:
        _fill(generation, report)
    is_saved = save_vectors_beforehand(kb, generation)
    with shared_vectors_aside(kb, generation) as asides:
        while _missing(generation).count() > LAST_CHUNK:
            _fill(generation, report, late=True)
        if asides or is_saved:
            _fill(generation, report, late=True)  # no process waits for the switch as long as this takes
        with switching(asides):
            _switch_when_full(generation, caller, report)
    _rebuild_words(kb)
    return generation


def roll_back(kb: KnowledgeBase, caller: Caller) -> IndexGeneration:
    """Makes the generation before active again. Raises InvalidRequest where there is none, another encoder runs, or somebody else was faster."""
    retired = IndexGeneration.objects.filter(kb=kb, status=_Status.RETIRED).order_by("-activated_at").first()
    if retired is None:
        raise InvalidRequest(f"{kb.slug!r} has no generation to go back to: only the last one is kept.")
    if retired.encoder != (now := encoder().model_id):
        raise InvalidRequest(f"The generation before was built by {retired.encoder}, but the encoder is {now}: set QA_ENCODER back first.")
    with shared_vectors_aside(kb, retired) as asides, switching(asides), transaction.atomic():
        lock_next_revision(kb)
        _require(retired, _Status.RETIRED)
        _activate(retired)
        record(caller, "roll_back_index", target=f"#{retired.number} {retired.encoder}", kb=kb.slug)
    fill_missing_vectors(kb)
    _follow(kb)
    return retired


def _building(kb: KnowledgeBase) -> IndexGeneration:
    """The generation to fill: an interrupted one of this encoder goes on, one of another encoder is dropped."""
    model_id = encoder().model_id
    with transaction.atomic():
        lock_kb(kb)
        begun = IndexGeneration.objects.filter(kb=kb, status=_Status.BUILDING)
        begun.exclude(encoder=model_id).delete()
        return begun.select_related("kb").first() or IndexGeneration.objects.create(
            kb=kb, number=next_generation_number(kb), encoder=model_id
        )


def _missing(generation: IndexGeneration) -> QuerySet[Entry]:
    return Entry.objects.filter(kb_id=generation.kb_id, deleted=False).exclude(vectors__generation=generation).order_by("pk")


def _fill(generation: IndexGeneration, report: Progress, *, late: bool = False) -> None:
    """One pass over all entries without a vector in this generation; `late` ones get a revision, for indexes that have passed them."""
    last = 0
    while chunk := list(_missing(generation).filter(pk__gt=last)[:CHUNK]):
        last = chunk[-1].pk
        encoded = encode_texts((EntryKind(entry.kind), entry.text) for entry in chunk)
        with transaction.atomic():
            locked = lock_kb(generation.kb)
            _require(generation, _Status.BUILDING, _Status.ACTIVE)
            unchanged = list(Entry.objects.filter(pk__in=[entry.pk for entry in chunk], deleted=False))
            report(put_vectors(generation, unchanged, encoded))
            if late:
                revision = lock_next_revision(locked)
                Entry.objects.filter(pk__in=[entry.pk for entry in unchanged]).update(revision=revision)


def _switch_when_full(generation: IndexGeneration, caller: Caller, report: Progress) -> None:
    """Encodes the last few under the lock, where no edit can get in between, and switches."""
    with transaction.atomic():
        lock_next_revision(generation.kb)
        if _status(generation) == _Status.ACTIVE:  # another build at the same time has just switched to it
            generation.refresh_from_db()
            return
        _fill(generation, report, late=True)
        _activate(generation)
        record(caller, "reindex", target=f"#{generation.number} {generation.encoder}", kb=generation.kb.slug)
    follower().wake()


def _status(generation: IndexGeneration) -> str | None:
    """Its status as the database has it; None where it is gone."""
    return IndexGeneration.objects.filter(pk=generation.pk).values_list("status", flat=True).first()


def _require(generation: IndexGeneration, *statuses: object) -> None:
    """Raises InvalidRequest where the generation is not what it was when the work began. The lock is held."""
    if _status(generation) not in statuses:
        raise InvalidRequest(
            f"The index of {generation.kb.slug!r} was built anew or rolled back by somebody else meanwhile: nothing was changed."
        )


def _activate(generation: IndexGeneration) -> None:
    """Makes this generation the active one, retires the one before and drops what is older. The lock is held."""
    others = IndexGeneration.objects.filter(kb_id=generation.kb_id).exclude(pk=generation.pk)
    others.filter(status=_Status.RETIRED).delete()
    others.filter(status=_Status.ACTIVE).update(status=_Status.RETIRED)
    generation.status, generation.activated_at = _Status.ACTIVE, timezone.now()
    generation.save(update_fields=["status", "activated_at"])


def _rebuild_words(kb: KnowledgeBase) -> None:
    """Builds the words indexes of the kinds that there are anew, and follows."""
    for kind in EntryKind:
        if last_revision(kb, kind) is not None or has_begun(indexes_for(kind).lexical, kb.pk):
            rebuild_words(kb, kind)
    _follow(kb)


def _follow(kb: KnowledgeBase) -> None:
    kb.refresh_from_db()
    follower().follow(kb.pk, kb.revision)
    follower().wake()
