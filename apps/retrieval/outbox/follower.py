"""When do this process's indexes follow the database? The read side of the outbox.

Every search asks `follow` for the revision that it read; a background thread keeps the lag near zero meanwhile, so that
the wait is nearly always over before it begins.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache

from django.db import close_old_connections

from apps.retrieval.indexes.registry import IndexPart, indexes_for
from apps.retrieval.models import IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.building_aside import last_revision
from apps.retrieval.outbox.catching_up import bring_up_vectors, bring_up_words, empty_index
from apps.retrieval.outbox.held_generations import HeldGenerations, Place, searchable_generations
from apps.retrieval.outbox.renewing import Due, IndexRenewal, renew
from core.config import get_settings
from core.errors import IndexMismatch, SearchUnavailable
from core.metrics import INDEX_LAG
from core.protocols import FollowingIndex
from core.types import EntryKind

log = logging.getLogger(__name__)

UNREACHABLE_S = 1.0


class IndexFollower:
    """Brings the indexes up to the database's revision: of every base that was searched here, or that changed while this process ran.

    Whoever loads a base is about to ask it: its index grows along with the load, not at the first question after it.

    Kinds are followed apart, each with a lock and a thread of its own: a question does not wait for a hundred thousand
    passages. A kind that a base has no entries of costs one look at the database a revision, and nothing on disk.
    `parts` are the indexes that are followed: where inference workers search vectors, a web process follows words alone.

    An index that another analysis built, or another generation of the same encoder, is followed on and searched on, while a
    new one is built aside: in the background where this process serves (`renew_in_background`), else before the follower returns.
    Vectors of another encoder are filled beside those of the one before, which are followed on while questions come by it.
    """

    def __init__(self, parts: Collection[IndexPart] = tuple(IndexPart)) -> None:
        self.parts = frozenset(parts)
        self._followed: dict[Place, int] = {}
        self._met_at: dict[Place, int] = {}  # the revision at which a base was first seen here
        self._generations = HeldGenerations()
        self._unreachable_until: dict[Place, float] = {}
        self._locks: dict[Place, threading.Lock] = {}
        self._renewal = IndexRenewal(self._renewed)
        self._guard = threading.Lock()
        self._wake = {kind: threading.Event() for kind in EntryKind}
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def follow(self, kb_id: int, revision: int, kind: EntryKind | None = None, *, wait_s: float = -1) -> bool:
        """Returns once the indexes of this knowledge base and kind (None: of all kinds) hold everything up to `revision`.

        False where one of them cannot be reached; the others have come. Callers do not queue for it: for a second after a
        failure nobody tries. False too where another thread is at it and takes longer than `wait_s` (below 0: whatever it takes).
        """
        come = [self._follow_kind((kb_id, one), revision, wait_s) for one in (EntryKind if kind is None else (kind,))]
        return all(come)

    def has_followed(self, kb_id: int, revision: int, kind: EntryKind) -> bool:
        """Whether `follow` would return at once."""
        return self._followed.get((kb_id, kind), -1) >= revision

    def _follow_kind(self, place: Place, revision: int, wait_s: float) -> bool:
        if self._followed.get(place, -1) >= revision:
            return True
        lock = self._lock_of(place)
        if self._is_unreachable(place) or not lock.acquire(timeout=wait_s):
            return False
        try:
            if self._followed.get(place, -1) >= revision:
                return True
            return not self._is_unreachable(place) and self._catch_up(*place)
        finally:
            lock.release()

    def _is_unreachable(self, place: Place) -> bool:
        return time.monotonic() < self._unreachable_until.get(place, 0.0)

    def check_encoder(self, kb_id: int, kind: EntryKind, model_id: str) -> None:
        """Raises IndexMismatch where no vectors of this encoder are followed here: others must not be searched.

        Those of a generation that the database keeps are read in the background then, where this process serves.
        """
        try:
            self._generations.check((kb_id, kind), model_id)
        except IndexMismatch:
            if self._renewal.is_running and self._generations.is_kept((kb_id, kind), model_id):
                self._renewal.note(kb_id, kind, IndexPart.VECTORS, model_id)
            raise

    def generations(self, kb_ids: Sequence[int], kind: EntryKind, encoder: str) -> list[int]:
        """Primary keys of the generations that the encoder made, of those that questions may be answered from."""
        return self._generations.primary_keys(kb_ids, kind, encoder)

    def is_reading(self, kb_id: int, kind: EntryKind, encoder: str) -> bool:
        """Whether the encoder's vectors are not followed here yet, but another's are, which answer meanwhile."""
        held = self._generations.held((kb_id, kind))
        return bool(held) and encoder not in held

    def followed_kbs(self) -> set[int]:
        """Primary keys of the knowledge bases that were ever searched here."""
        return {kb_id for kb_id, _ in list(self._followed)}

    def renew_in_background(self) -> None:
        """From now on nobody waits for an index that is built anew."""
        self._renewal.start()

    def watch(self) -> None:
        """Starts the background threads, once."""
        self.renew_in_background()
        with self._guard:
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._watch, args=(kind,), name=f"follow-{kind}", daemon=True) for kind in EntryKind
                ]
                for thread in self._threads:
                    thread.start()

    def wake(self) -> None:
        """Tells the background threads that something was committed."""
        for event in self._wake.values():
            event.set()

    def close(self) -> None:
        """Ends the background threads and forgets what was followed."""
        self._stopped.set()
        self.wake()
        self._renewal.close()
        for thread in self._threads:
            thread.join(timeout=5)
        self._followed.clear()
        self._met_at.clear()

    def _lock_of(self, place: Place) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(place, threading.Lock())

    def _watch(self, kind: EntryKind) -> None:
        wait_s = get_settings().index_poll_ms / 1000
        while not self._stopped.is_set():
            self._wake[kind].wait(wait_s)
            self._wake[kind].clear()
            try:
                self._follow_all(kind)
            except Exception:  # the loop must outlive a database that is away; the next search reports it
                log.exception("index follower failed; trying again")
                self._stopped.wait(1.0)
            finally:
                close_old_connections()

    def _follow_all(self, kind: EntryKind) -> None:
        revisions = dict(KnowledgeBase.objects.values_list("pk", "revision"))
        for kb_id in {kb_id for kb_id, one in [*self._followed, *self._met_at] if one is kind}.difference(revisions):
            self._forget(kb_id, kind)
        for kb_id, revision in revisions.items():
            met_at = self._met_at.setdefault((kb_id, kind), revision)
            if self._stopped.is_set():
                return
            if (kb_id, kind) not in self._followed and revision == met_at:
                continue
            INDEX_LAG.labels(kb=str(kb_id), kind=kind.value).set(revision - self._followed.get((kb_id, kind), 0))
            self.follow(kb_id, revision, kind)
            if self._generations.idle((kb_id, kind)):
                self._let_idle_go((kb_id, kind))

    def _forget(self, kb_id: int, kind: EntryKind) -> None:
        """Empties what there is of a base that is gone, whoever filled it; an index that cannot be reached is emptied in a later round."""
        place, pair = (kb_id, kind), indexes_for(kind)
        kept: dict[IndexPart, FollowingIndex] = {IndexPart.WORDS: pair.lexical, IndexPart.VECTORS: pair.vector}
        pair.vector.forget(kb_id)
        emptied = [_reached(lambda part=part: empty_index(kept[part], kb_id)) for part in self.parts]  # type: ignore[misc]
        if not all(emptied):
            return
        pair.vector.forget(kb_id)  # whoever asked meanwhile has read it again
        self._generations.forget(place)
        for known in (self._followed, self._met_at, self._unreachable_until):
            known.pop(place, None)
        with suppress(KeyError):
            INDEX_LAG.remove(str(kb_id), kind.value)

    def _catch_up(self, kb_id: int, kind: EntryKind) -> bool:
        """Applies what changed, and says whether all could be. The revision is read first: whatever commits meanwhile comes with the next call."""
        kb = KnowledgeBase.objects.filter(pk=kb_id).first()
        if kb is None:
            return True
        generations, last = searchable_generations(kb), last_revision(kb, kind)
        complete = last is None or self._bring_up(kb, kind, generations, last)
        self._generations.keep((kb_id, kind), kb.slug, generations)
        if complete:
            self._followed[kb_id, kind] = kb.revision
        else:
            self._unreachable_until[kb_id, kind] = time.monotonic() + UNREACHABLE_S
        return complete

    def _bring_up(self, kb: KnowledgeBase, kind: EntryKind, generations: Sequence[IndexGeneration], last: int) -> bool:
        """The indexes of the kind; `last` is the revision of its latest change, and an index that has it is left alone.

        Whether all could be reached: one that cannot does not keep the other back.
        """
        pair, reached = indexes_for(kind), True
        if IndexPart.WORDS in self.parts:
            reached = _reached(lambda: self._keep_current(kb, kind, IndexPart.WORDS, bring_up_words(kb, kind, pair, last)))
        followed = self._vectors_to_follow(kb, kind, generations)
        come = [_reached(lambda one=one: self._bring_up_generation(kb, kind, one, last)) for one in followed]  # type: ignore[misc]
        return reached and all(come)

    def _vectors_to_follow(self, kb: KnowledgeBase, kind: EntryKind, generations: Sequence[IndexGeneration]) -> Sequence[IndexGeneration]:
        """The active generation, and of the one before what is here already. Where that is all there is, the active one is read in the background first."""
        place, index = (kb.pk, kind), indexes_for(kind).vector
        if IndexPart.VECTORS not in self.parts:
            self._generations.hold(place, [one.encoder for one in generations])  # whoever searches them knows which are there
            return []
        if index.is_shared:
            self._generations.hold(place, [one.encoder for one in generations[:1]])
            return generations[:1]
        held = self._generations.held(place)
        is_coming = bool(held and self._renewal.is_running)
        if is_coming and generations and generations[0].encoder not in held:
            self._renewal.note(kb.pk, kind, IndexPart.VECTORS, generations[0].encoder)
        followed = [one for number, one in enumerate(generations) if one.encoder in held or not (number or is_coming)]
        self._generations.hold(place, [one.encoder for one in followed])
        for encoder in held - self._generations.held(place):
            empty_index(index.made_by(encoder), kb.pk)
        return followed

    def _bring_up_generation(self, kb: KnowledgeBase, kind: EntryKind, generation: IndexGeneration, last: int) -> None:
        pair = indexes_for(kind)
        in_place = not (pair.vector.is_shared or self._renewal.is_running)
        is_current = bring_up_vectors(kb, kind, pair, generation, last, in_place=in_place)
        self._keep_current(kb, kind, IndexPart.VECTORS, is_current, generation.encoder)

    def _keep_current(self, kb: KnowledgeBase, kind: EntryKind, part: IndexPart, is_current: bool, encoder: str = "") -> None:
        """Has an index built anew that answers by something older."""
        if is_current:
            return
        if self._renewal.is_running:
            self._renewal.note(kb.pk, kind, part, encoder)
        else:
            renew(kb.pk, kind, part, encoder)

    def _renewed(self, due: Due) -> None:
        """Vectors that were read in the background are searched from the next look at the database on."""
        kb_id, kind, part, encoder = due
        if part is IndexPart.VECTORS and not indexes_for(kind).vector.is_shared:
            with self._lock_of((kb_id, kind)):
                if self._generations.hold_too((kb_id, kind), encoder):
                    self._followed[kb_id, kind] = -1
            self._wake[kind].set()

    def _let_idle_go(self, place: Place) -> None:
        """Gives the memory of vectors back that nobody asks for any more; their snapshot stays for a rollback."""
        with self._lock_of(place):
            idle = self._generations.idle(place)
            self._generations.hold(place, self._generations.held(place) - idle)
            for encoder in idle:
                indexes_for(place[1]).vector.made_by(encoder).forget(place[0])


def _reached(work: Callable[[], None]) -> bool:
    try:
        work()
    except SearchUnavailable as error:
        log.warning("index not followed reason=%s", error.message)
        return False
    return True


@cache
def follower() -> IndexFollower:
    """The process-wide follower of what this process keeps: words, and vectors unless inference workers search them."""
    return IndexFollower([IndexPart.WORDS] if get_settings().searches_remotely else tuple(IndexPart))


@cache
def vector_follower() -> IndexFollower:
    """The process-wide follower of vectors: `follower` itself, or where that follows words alone one of their own."""
    return follower() if IndexPart.VECTORS in follower().parts else IndexFollower([IndexPart.VECTORS])


def close_followers() -> None:
    """Ends and forgets both; at shutdown and between tests."""
    for one in {vector_follower(), follower()}:
        one.close()
    vector_follower.cache_clear()
    follower.cache_clear()
