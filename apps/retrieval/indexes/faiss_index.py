"""Which entries lie nearest to a question's vector? FAISS in the memory of this process, kept over restarts by snapshots."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from apps.retrieval.indexes.knowledge_base_vectors import KnowledgeBaseVectors, check_dim
from apps.retrieval.indexes.large_part import BuildStopped
from apps.retrieval.indexes.vector_folders import remove_left_over, vector_folder
from core.config import get_settings
from core.cores import anywhere
from core.types import NO_FACTS, NO_FILTERS, EntryKind, Facts, Filters, FloatArray, Hit, IndexState, Scope

logger = logging.getLogger(__name__)

ROWS_ASIDE = 150_000


class FaissBuild:
    """VectorBuild in memory, beside what is searched: while it is filled, a knowledge base takes twice its memory."""

    def __init__(self, kb: KnowledgeBaseVectors, built_with: str) -> None:
        self._kb = kb
        self.aside = kb.aside(built_with)
        self.is_in_force = False

    @property
    def revision(self) -> int:
        """How far it follows the database."""
        return self.aside.state.revision

    def put(self, kb_id: int, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts] = (), *, as_of: int = 0) -> None:
        """Adds or replaces vectors float32[n, dim] by id, with the facts of each. Raises IndexMismatch where `dim` differs from the first."""
        self.aside.put(ids, vectors, facts or [NO_FACTS] * len(ids))

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        """Removes entries; unknown ids are fine."""
        self.aside.delete(ids)

    def refresh(self, kb_id: int, revision: int) -> None:
        """Notes the revision. Where many rows wait, they go into the large part, which takes half their memory or less."""
        self.aside.refresh(revision)
        if self.aside.rows > ROWS_ASIDE:
            self.settle()

    def settle(self) -> None:
        """Builds the large part, where one is due; a process that ends goes without."""
        with suppress(BuildStopped), anywhere():
            self.aside.enlarge()

    def switch(self) -> None:
        """Puts the view in place."""
        if not self._kb.depth:
            raise RuntimeError("switch must be called while `exclusive` is held.")
        self._kb.take_over(self.aside)
        self.is_in_force = True


class FaissIndex:
    """VectorIndex in memory: exact up to `exact_max` entries of a knowledge base, a graph (HNSW) beyond, and clusters
    (IVF-PQ, refined by stored rows) from more than `clusters_min` on.

    Searches take no lock and wait for nobody: refresh and the maintenance thread put new immutable views in place.
    The maintenance thread builds them and writes snapshots; until one is ready, its entries are scanned exactly.
    Each process follows the database with an index of its own; the snapshot on disk is shared. What different encoders made
    lies apart, in an index for each (`made_by`): neither takes the other's place.
    """

    is_shared = False

    def __init__(
        self,
        kind: EntryKind = EntryKind.FAQ,
        *,
        folder: Path | None = None,
        exact_max: int | None = None,
        clusters_min: int | None = None,
        encoder: str = "",
    ) -> None:
        settings = get_settings()
        self._kind, self._root, self._encoder = kind, folder or settings.data_dir / "indexes", encoder
        self._limits = (
            settings.vector_exact_max if exact_max is None else exact_max,
            settings.vector_clusters_min if clusters_min is None else clusters_min,
        )
        self._mutex = threading.Lock()
        self._made_by: dict[str, FaissIndex] = {}
        self._kbs: dict[int, KnowledgeBaseVectors] = {}
        self._asides: list[KnowledgeBaseVectors] = []
        self._due: queue.Queue[KnowledgeBaseVectors | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def made_by(self, encoder: str) -> FaissIndex:
        """The index of what this encoder made."""
        index = self._made_by.get(encoder)
        if index is None:
            exact_max, clusters_min = self._limits
            with self._mutex:
                index = self._made_by.setdefault(
                    encoder, FaissIndex(self._kind, folder=self._root, exact_max=exact_max, clusters_min=clusters_min, encoder=encoder)
                )
        return index

    # Searching

    def search(self, vector: FloatArray, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` hits within the scope that the filters admit, best first; score is the cosine.

        Raises IndexMismatch for a vector of another length.
        """
        hits: list[Hit] = []
        for kb_id in dict.fromkeys(scope.kb_ids):
            view = self._kb(kb_id).view
            if k > 0 and view is not None and view.count:
                check_dim(kb_id, view.dim, vector.shape[-1])
                hits += view.search(vector, k, filters)
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))[: max(k, 0)]

    def vectors(self, kb_id: int, ids: Sequence[int]) -> dict[int, FloatArray]:
        """float32[dim] of each visible entry among `ids`; those beyond an exact scan are rounded to half precision."""
        view = self._kb(kb_id).view
        return {} if view is None else view.vectors(np.array(list(ids), dtype=np.int64))

    # Following the database

    @contextmanager
    def exclusive(self, kb_id: int) -> Iterator[None]:
        """Excludes this process's other threads; other processes have memory of their own. What was not refreshed is dropped."""
        kb = self._kb(kb_id)
        with kb.exclusive:
            kb.depth += 1
            try:
                yield
            finally:
                kb.depth -= 1
                if kb.depth == 0:
                    kb.drop_pending()

    def state(self, kb_id: int) -> IndexState:
        """How far this process's index follows; after a start, what the snapshot says."""
        return self._kb(kb_id).state

    def put(self, kb_id: int, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts] = (), *, as_of: int = 0) -> None:
        """Adds or replaces vectors float32[n, dim] by id, with the facts of each (none where left out); takes effect with `refresh`.

        Raises IndexMismatch where `dim` is not that of the vectors already here.
        """
        self._held(kb_id).put(ids, vectors, facts or [NO_FACTS] * len(ids))

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        """Removes entries; unknown ids are fine; takes effect with `refresh`."""
        self._held(kb_id).delete(ids)

    def refresh(self, kb_id: int, revision: int) -> None:
        """Puts a view with all changes in place, and leaves the rest to the maintenance thread."""
        kb = self._held(kb_id)
        kb.refresh(revision)
        self._maintain_if_due(kb)

    def clear(self, kb_id: int, built_with: str) -> None:
        """Starts anew, empty; the snapshot goes too."""
        with self.exclusive(kb_id):
            self._kb(kb_id).clear(built_with)

    @contextmanager
    def building(self, kb_id: int, built_with: str, *, no_later_than: int = 0) -> Iterator[FaissBuild]:
        """Vectors of any length, filled aside by one thread at a time; none are kept in memory to be taken up.

        What was switched to is on disk when this ends, for the processes that come to it next.
        """
        kb = self._kb(kb_id)
        with kb.building:
            build = FaissBuild(kb, built_with)
            self._asides.append(build.aside)
            try:
                yield build
            finally:
                self._asides.remove(build.aside)
        self._maintain_if_due(kb)
        if build.is_in_force:
            self._due.join()

    def sweep(self, kb_id: int, still_there: Callable[[str], bool] = lambda _: False) -> None:
        """Removes what was saved of generations that are gone, whichever encoder made it; a build that died took its memory along."""
        if not self._encoder and not (kb_id in self._kbs and self._kbs[kb_id].state.revision):
            remove_left_over(self._home(kb_id), still_there)

    def forget(self, kb_id: int) -> None:
        """Saves a knowledge base and gives its memory back, whichever encoder made it: what is asked next begins with the snapshot."""
        with self._mutex:
            kb, others = self._kbs.pop(kb_id, None), list(self._made_by.values())
        for other in others:
            other.forget(kb_id)
        if kb is not None:
            kb.stop_building.set()
            _save(kb)

    def ids(self, kb_id: int) -> set[int]:
        """Every visible entry's id."""
        view = self._kb(kb_id).view
        return set() if view is None else view.ids()

    # Maintenance

    def wait_for_maintenance(self) -> None:
        """Returns when every build and snapshot that is due has been made: for benchmarks, tests and bulk loads."""
        for index in (self, *self._made_by.values()):
            index._due.join()

    def release(self) -> None:
        """Saves and gives the memory back: what is asked next begins with the snapshot. Nobody may be searching or following."""
        self.close()
        with self._mutex:
            self._kbs.clear()
            self._made_by.clear()

    def close(self) -> None:
        """Ends the maintenance thread and saves what has changed since the last snapshot."""
        with self._mutex:
            kbs, thread, others = list(self._kbs.values()), self._thread, list(self._made_by.values())
            self._thread = None
        for other in others:
            other.close()
        for kb in [*kbs, *self._asides]:
            kb.stop_building.set()
        if thread is not None:
            self._due.put(None)
            thread.join()
        for kb in kbs:
            _save(kb)
            kb.stop_building.clear()

    def _home(self, kb_id: int) -> Path:
        return self._root / self._kind.value / str(kb_id)

    def _kb(self, kb_id: int) -> KnowledgeBaseVectors:
        kb = self._kbs.get(kb_id)
        if kb is None:
            with self._mutex:
                if kb_id not in self._kbs:
                    self._kbs[kb_id] = KnowledgeBaseVectors(kb_id, vector_folder(self._home(kb_id), self._encoder), *self._limits)
                kb = self._kbs[kb_id]
        if kb.load_once():
            self._maintain_if_due(kb)
        return kb

    def _held(self, kb_id: int) -> KnowledgeBaseVectors:
        kb = self._kb(kb_id)
        if not kb.depth:
            raise RuntimeError("put, delete and refresh must be called while `exclusive` is held.")
        return kb

    def _maintain_if_due(self, kb: KnowledgeBaseVectors) -> None:
        if not (kb.is_too_large() or kb.needs_snapshot()):
            return
        with self._mutex:
            if not kb.is_due:
                kb.is_due = True
                self._due.put(kb)
            if self._thread is None:
                self._thread = threading.Thread(target=self._maintain, name="vector-maintenance", daemon=True)
                self._thread.start()

    def _maintain(self) -> None:
        with anywhere():
            self._build_what_is_due()

    def _build_what_is_due(self) -> None:
        while (kb := self._due.get()) is not None:
            kb.is_due = False  # what changes from now on is for the next time
            try:
                kb.enlarge()
                kb.save_if_due()
            except BuildStopped:
                continue
            except OSError as error:  # a full disk must not end the thread: the database still has everything
                _log_unsaved(kb.kb_id, error)
            except Exception:  # nor may anything else: what is due later would never be built, nor saved
                logger.exception("vector_maintenance_failed kb=%d", kb.kb_id)
            finally:
                self._due.task_done()
        self._due.task_done()


def _save(kb: KnowledgeBaseVectors) -> None:
    try:
        kb.save()
    except OSError as error:  # the others are saved all the same
        _log_unsaved(kb.kb_id, error)


def _log_unsaved(kb_id: int, error: OSError) -> None:
    logger.warning("vector_snapshot_failed kb=%d reason=%s", kb_id, error)
