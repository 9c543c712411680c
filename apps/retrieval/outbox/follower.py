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
from apps.retrieval.outbox.indexing import mismatch
from apps.retrieval.outbox.renewing import IndexRenewal, renew
from core.config import get_settings
from core.errors import SearchUnavailable
from core.metrics import INDEX_LAG
from core.types import EntryKind

log = logging.getLogger(__name__)

_Place = tuple[int, EntryKind]

UNREACHABLE_S = 1.0


class IndexFollower:
    """Brings the indexes up to the database's revision: of every base that was searched here, or that changed while this process ran.

    Whoever loads a base is about to ask it: its index grows along with the load, not at the first question after it.

    Kinds are followed apart, each with a lock and a thread of its own: a question does not wait for a hundred thousand
    passages. A kind that a base has no entries of costs one look at the database a revision, and nothing on disk.
    `parts` are the indexes that are followed: where inference workers search vectors, a web process follows words alone.

    An index that another analysis built, or another generation of the same encoder, is followed on and searched on, while a
    new one is built aside: in the background where this process serves (`renew_in_background`), else before the follower returns.
    """

    def __init__(self, parts: Collection[IndexPart] = tuple(IndexPart)) -> None:
        self.parts = frozenset(parts)
        self._followed: dict[_Place, int] = {}
        self._met_at: dict[_Place, int] = {}  # the revision at which a base was first seen here
        self._built_by: dict[_Place, tuple[str, str]] = {}
        self._generations: dict[_Place, int] = {}
        self._unreachable_until: dict[_Place, float] = {}
        self._locks: dict[_Place, threading.Lock] = {}
        self._renewal = IndexRenewal()
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

    def _follow_kind(self, place: _Place, revision: int, wait_s: float) -> bool:
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

    def _is_unreachable(self, place: _Place) -> bool:
        return time.monotonic() < self._unreachable_until.get(place, 0.0)

    def check_encoder(self, kb_id: int, kind: EntryKind, model_id: str) -> None:
        """Raises IndexMismatch where another encoder built the vectors followed here: they must not be searched."""
        slug, built_by = self._built_by.get((kb_id, kind), ("", ""))
        if built_by and built_by != model_id:
            raise mismatch(slug, built_by, model_id)

    def generations(self, kb_ids: Sequence[int], kind: EntryKind) -> list[int]:
        """Primary keys of the generations that the vectors followed here belong to."""
        return [generation for kb_id in kb_ids if (generation := self._generations.get((kb_id, kind)))]

    def built_by(self, kb_id: int, kind: EntryKind) -> str:
        """The encoder of the vectors followed here; empty where none were."""
        return self._built_by.get((kb_id, kind), ("", ""))[1]

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

    def _lock_of(self, place: _Place) -> threading.Lock:
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

    def _forget(self, kb_id: int, kind: EntryKind) -> None:
        """Empties what there is of a base that is gone, whoever filled it; an index that cannot be reached is emptied in a later round."""
        pair = indexes_for(kind)
        kept = {IndexPart.WORDS: pair.lexical, IndexPart.VECTORS: pair.vector}
        emptied = [_reached(lambda part=part: empty_index(kept[part], kb_id)) for part in self.parts]  # type: ignore[misc]
        if not all(emptied):
            return
        for known in (self._followed, self._met_at, self._built_by, self._generations, self._unreachable_until):
            known.pop((kb_id, kind), None)
        with suppress(KeyError):
            INDEX_LAG.remove(str(kb_id), kind.value)

    def _catch_up(self, kb_id: int, kind: EntryKind) -> bool:
        """Applies what changed, and says whether all could be. The revision is read first: whatever commits meanwhile comes with the next call."""
        kb = KnowledgeBase.objects.filter(pk=kb_id).first()
        if kb is None:
            return True
        generation = IndexGeneration.objects.filter(kb=kb, status=IndexGeneration.Status.ACTIVE).first()
        last = last_revision(kb, kind)
        complete = last is None or self._bring_up(kb, kind, generation, last)
        self._built_by[kb_id, kind] = (kb.slug, generation.encoder if generation else "")
        self._generations[kb_id, kind] = generation.pk if generation else 0
        if complete:
            self._followed[kb_id, kind] = kb.revision
        else:
            self._unreachable_until[kb_id, kind] = time.monotonic() + UNREACHABLE_S
        return complete

    def _bring_up(self, kb: KnowledgeBase, kind: EntryKind, generation: IndexGeneration | None, last: int) -> bool:
        """The indexes of the kind; `last` is the revision of its latest change, and an index that has it is left alone.

        Whether all could be reached: one that cannot does not keep the other back.
        """
        pair, reached = indexes_for(kind), True
        if IndexPart.WORDS in self.parts:
            reached = _reached(lambda: self._keep_current(kb, kind, IndexPart.WORDS, bring_up_words(kb, kind, pair, last)))
        if IndexPart.VECTORS in self.parts and generation is not None:
            in_place = not (pair.vector.is_shared or self._renewal.is_running)
            reached = (
                _reached(
                    lambda: self._keep_current(
                        kb, kind, IndexPart.VECTORS, bring_up_vectors(kb, kind, pair, generation, last, in_place=in_place)
                    )
                )
                and reached
            )
        return reached

    def _keep_current(self, kb: KnowledgeBase, kind: EntryKind, part: IndexPart, is_current: bool) -> None:
        """Has an index built anew that answers by something older."""
        if is_current:
            return
        if self._renewal.is_running:
            self._renewal.note(kb.pk, kind, part)
        else:
            renew(kb.pk, kind, part)


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
