"""How is an index built anew while the one of before answers? Filled aside from the database, then switched to at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from django.db.models import Max

from apps.retrieval.indexes.analysis import ANALYSIS
from apps.retrieval.indexes.registry import IndexPart, indexes_for
from apps.retrieval.models import Entry, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.catching_up import Put, apply_changes, bring_up_vectors, built_with, has_begun, put_texts, put_vectors
from apps.retrieval.outbox.held_generations import searchable_generations
from core.protocols import FollowingIndex, IndexBuild
from core.types import EntryKind

log = logging.getLogger(__name__)

ROUNDS = 10  # of following what was changed meanwhile, before the rest is left to the switch

Stopped = Callable[[], bool]


class BuildAbandoned(Exception):
    """Whoever asked for the build has ended; the index of before stays."""


@dataclass(frozen=True, kw_only=True)
class Aside:
    """A new index that is being filled, and how the entries of the knowledge base get into it."""

    kb: KnowledgeBase
    kind: EntryKind
    index: FollowingIndex
    build: IndexBuild
    put: Put
    stopped: Stopped = lambda: False

    def fill(self) -> None:
        """Puts everything in, and follows what is changed meanwhile until little is left. Memory holds a chunk at a time."""
        for _ in range(ROUNDS):
            self._follow()
            if self.build.revision >= (last_revision(self.kb, self.kind) or 0):
                break
        self.build.settle()

    def switch(self) -> None:
        """Follows to the last change and switches. The index's `exclusive` is held: nobody has followed further than this."""
        self._follow()
        self.build.switch()

    def _follow(self) -> None:
        self.kb.refresh_from_db(fields=["revision"])
        apply_changes(self.kb, self.kind, self.build.revision, self.build, self._put_unless_stopped)

    def _put_unless_stopped(self, entries: Sequence[Entry], as_of: int) -> None:
        if self.stopped():
            raise BuildAbandoned
        self.put(entries, as_of)


def last_revision(kb: KnowledgeBase, kind: EntryKind) -> int | None:
    """The revision of the latest change to entries of the kind; None where there never was one."""
    last: int | None = Entry.objects.filter(kb=kb, kind=kind.value).aggregate(last=Max("revision"))["last"]
    return last


@contextmanager
def words_aside(kb: KnowledgeBase, kind: EntryKind, stopped: Stopped = lambda: False) -> Iterator[Aside]:
    """A new words index. Raises SearchUnavailable where it cannot be reached, or another process builds one for long."""
    index = indexes_for(kind).lexical
    with index.building(kb.pk, ANALYSIS) as build:
        yield Aside(kb=kb, kind=kind, index=index, build=build, put=lambda *entries: put_texts(build, kb.pk, *entries), stopped=stopped)


@contextmanager
def vectors_aside(
    kb: KnowledgeBase, kind: EntryKind, generation: IndexGeneration, stopped: Stopped = lambda: False, *, resume: bool = True
) -> Iterator[Aside]:
    """A vector index with the vectors of the generation, active or not. Raises as `words_aside`.

    It is new unless one was kept that may be taken up (`resume`): a generation that is being built gets vectors without a
    revision, and a repair means an index from scratch.
    """
    index = indexes_for(kind).vector.made_by(generation.encoder)
    kb.refresh_from_db(fields=["revision"])
    no_later_than = kb.revision if resume and generation.status != IndexGeneration.Status.BUILDING else 0
    with index.building(kb.pk, built_with(generation), no_later_than=no_later_than) as build:

        def put(entries: Sequence[Entry], as_of: int) -> None:
            put_vectors(build, kb.pk, entries, generation, as_of)

        yield Aside(kb=kb, kind=kind, index=index, build=build, put=put, stopped=stopped)


@contextmanager
def shared_vectors_aside(kb: KnowledgeBase, generation: IndexGeneration) -> Iterator[list[Aside]]:
    """The vector indexes that all processes search, filled with a generation that is not active yet; none where each process fills its own."""
    with ExitStack() as stack:
        asides = []
        for kind in EntryKind:
            index = indexes_for(kind).vector
            if index.is_shared and (last_revision(kb, kind) is not None or has_begun(index, kb.pk)):
                asides.append(stack.enter_context(vectors_aside(kb, kind, generation)))
                asides[-1].fill()
        yield asides


def save_vectors_beforehand(kb: KnowledgeBase, generation: IndexGeneration) -> bool:
    """Leaves on disk what processes that fill vector indexes of their own begin with once this generation, by another encoder, is active.

    Whether it did: then texts that are encoded from now on must take a revision. Memory holds these vectors while it runs.
    """
    kinds = [kind for kind in EntryKind if not indexes_for(kind).vector.is_shared and last_revision(kb, kind) is not None]
    if IndexGeneration.objects.filter(kb=kb, status=IndexGeneration.Status.ACTIVE, encoder=generation.encoder).exists():
        return False
    for kind in kinds:
        index = indexes_for(kind).vector.made_by(generation.encoder)
        index.clear(kb.pk, built_with(generation))  # an interrupted build may have left some: without those that were encoded since
        with vectors_aside(kb, kind, generation) as aside:
            aside.fill()
            with switching([aside]):
                pass
    return bool(kinds)


@contextmanager
def switching(asides: Sequence[Aside]) -> Iterator[None]:
    """Keeps others from following further while the caller switches the database; then the indexes are switched too."""
    with ExitStack() as held:
        for aside in asides:
            held.enter_context(aside.index.exclusive(aside.kb.pk))
        yield
        for aside in asides:
            aside.switch()


def rebuild_words(kb: KnowledgeBase, kind: EntryKind) -> None:
    """Builds the words index anew, damaged or not. Raises SearchUnavailable."""
    with words_aside(kb, kind) as aside:
        _fill_and_switch(aside)


def rebuild_vectors(kb: KnowledgeBase, kind: EntryKind, generation: IndexGeneration) -> None:
    """Builds the vector index anew, as `rebuild_words`."""
    with vectors_aside(kb, kind, generation, resume=False) as aside:
        _fill_and_switch(aside)


def renew_words(kb: KnowledgeBase, kind: EntryKind, stopped: Stopped = lambda: False) -> None:
    """As `rebuild_words`, unless another process has done it meanwhile. Raises BuildAbandoned."""
    with words_aside(kb, kind, stopped) as aside:
        if aside.index.state(kb.pk).built_with != ANALYSIS:
            with _logged(aside, IndexPart.WORDS):
                _fill_and_switch(aside)


def renew_vectors(kb: KnowledgeBase, kind: EntryKind, encoder: str, stopped: Stopped = lambda: False) -> None:
    """As `renew_words`, with the vectors of the generation that the encoder made, the active one or the one before it.

    The index of before is not kept: since the database switched it may have followed with vectors of this generation. One that
    each process fills for itself has come up to the database when this returns.
    """
    generation = _searchable(kb, kind, encoder)
    if generation is None:
        return
    with vectors_aside(kb, kind, generation, stopped) as aside:
        is_due = aside.index.state(kb.pk).built_with != built_with(generation)
        if is_due:
            with _logged(aside, IndexPart.VECTORS):
                aside.fill()
                if _searchable(kb, kind, encoder) != generation:
                    raise BuildAbandoned
                with switching([aside]):
                    pass
    if is_due:
        aside.index.sweep(kb.pk)
    if not indexes_for(kind).vector.is_shared:
        kb.refresh_from_db(fields=["revision"])
        bring_up_vectors(kb, kind, indexes_for(kind), generation, last_revision(kb, kind) or 0)


def _searchable(kb: KnowledgeBase, kind: EntryKind, encoder: str) -> IndexGeneration | None:
    generations = searchable_generations(kb)[: 1 if indexes_for(kind).vector.is_shared else None]
    return next((one for one in generations if one.encoder == encoder), None)


@contextmanager
def _logged(aside: Aside, part: IndexPart) -> Iterator[None]:
    """Says that it begins, and that it is done; nothing of a build that another process has done meanwhile."""
    log.warning("index is built anew kb=%s kind=%s index=%s", aside.kb.slug, aside.kind, part)
    yield
    log.warning("index switched kb=%s kind=%s index=%s", aside.kb.slug, aside.kind, part)


def _fill_and_switch(aside: Aside) -> None:
    aside.fill()
    with switching([aside]):
        pass
