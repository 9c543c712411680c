"""Which entries lie nearest to a question's vector? FAISS in the memory of this process, kept over restarts by snapshots."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from apps.retrieval.indexes.enlarging import enlarged, is_due
from apps.retrieval.indexes.large_part import BuildStopped
from apps.retrieval.indexes.snapshot import SnapshotFolder
from apps.retrieval.indexes.vector_view import VectorView, empty_view
from core.config import get_settings
from core.cores import anywhere
from core.errors import IndexMismatch
from core.native import give_back_memory
from core.types import NO_FACTS, NO_FILTERS, EntryKind, Facts, Filters, FloatArray, Hit, IndexState, Scope

logger = logging.getLogger(__name__)

SNAPSHOT_CHANGES = 5_000
SNAPSHOT_SECONDS = 60.0

_NOTHING = IndexState(revision=0, built_with="")


class FaissIndex:
    """VectorIndex in memory: exact up to `exact_max` entries of a knowledge base, a graph (HNSW) beyond, and clusters
    (IVF-PQ, refined by stored rows) from more than `clusters_min` on.

    Searches take no lock and wait for nobody: refresh and the maintenance thread put new immutable views in place.
    The maintenance thread builds them and writes snapshots; until one is ready, its entries are scanned exactly.
    Each process follows the database with an index of its own; the snapshot on disk is shared.
    """

    def __init__(
        self,
        kind: EntryKind = EntryKind.FAQ,
        *,
        folder: Path | None = None,
        exact_max: int | None = None,
        clusters_min: int | None = None,
    ) -> None:
        settings = get_settings()
        self._folder = (folder or settings.data_dir / "indexes") / kind.value
        self._limits = (
            settings.vector_exact_max if exact_max is None else exact_max,
            settings.vector_clusters_min if clusters_min is None else clusters_min,
        )
        self._mutex = threading.Lock()
        self._kbs: dict[int, _KnowledgeBaseVectors] = {}
        self._due: queue.Queue[_KnowledgeBaseVectors | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    # Searching

    def search(self, vector: FloatArray, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` hits within the scope that the filters admit, best first; score is the cosine.

        Raises IndexMismatch for a vector of another length.
        """
        hits: list[Hit] = []
        for kb_id in dict.fromkeys(scope.kb_ids):
            view = self._kb(kb_id).view
            if k > 0 and view is not None and view.count:
                _check_dim(kb_id, view.dim, vector.shape[-1])
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

    def put(self, kb_id: int, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts] = ()) -> None:
        """Adds or replaces vectors float32[n, dim] by id, with the facts of each (none where left out); takes effect with `refresh`.

        Raises IndexMismatch where `dim` is not that of the vectors already here.
        """
        self._held(kb_id).put(ids, vectors, facts or [NO_FACTS] * len(ids))

    def delete(self, kb_id: int, ids: Sequence[int]) -> None:
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

    def ids(self, kb_id: int) -> set[int]:
        """Every visible entry's id."""
        view = self._kb(kb_id).view
        return set() if view is None else view.ids()

    # Maintenance

    def wait_for_maintenance(self) -> None:
        """Returns when every build and snapshot that is due has been made: for benchmarks, tests and bulk loads."""
        self._due.join()

    def release(self) -> None:
        """Saves and gives the memory back: what is asked next begins with the snapshot. Nobody may be searching or following."""
        self.close()
        with self._mutex:
            self._kbs.clear()

    def close(self) -> None:
        """Ends the maintenance thread and saves what has changed since the last snapshot."""
        with self._mutex:
            kbs, thread = list(self._kbs.values()), self._thread
            self._thread = None
        for kb in kbs:
            kb.stop_building.set()
        if thread is not None:
            self._due.put(None)
            thread.join()
        for kb in kbs:
            try:
                kb.save()
            except OSError as error:  # the others are saved all the same
                _log_unsaved(kb.kb_id, error)
            kb.stop_building.clear()

    def _kb(self, kb_id: int) -> _KnowledgeBaseVectors:
        kb = self._kbs.get(kb_id)
        if kb is None:
            with self._mutex:
                if kb_id not in self._kbs:
                    self._kbs[kb_id] = _KnowledgeBaseVectors(kb_id, self._folder / str(kb_id) / "vectors", *self._limits)
                kb = self._kbs[kb_id]
        if kb.load_once():
            self._maintain_if_due(kb)
        return kb

    def _held(self, kb_id: int) -> _KnowledgeBaseVectors:
        kb = self._kb(kb_id)
        if not kb.depth:
            raise RuntimeError("put, delete and refresh must be called while `exclusive` is held.")
        return kb

    def _maintain_if_due(self, kb: _KnowledgeBaseVectors) -> None:
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


class _KnowledgeBaseVectors:
    """One knowledge base: the view in force and what waits for the next refresh.

    `exclusive` is held by whoever changes entries, for as long as encoding takes; `swap` only while a view is replaced.
    """

    def __init__(self, kb_id: int, folder: Path, exact_max: int, clusters_min: int) -> None:
        self.kb_id = kb_id
        self.exclusive = threading.RLock()
        self.depth = 0
        self.is_due = False
        self.view: VectorView | None = None
        self.state = _NOTHING
        self.stop_building = threading.Event()
        self._exact_max, self._clusters_min = exact_max, clusters_min
        self._snapshot = SnapshotFolder(folder)
        self._swap = threading.RLock()
        self._loaded = False
        self._put: dict[int, tuple[FloatArray, Facts]] = {}
        self._deleted: set[int] = set()
        self._changed_while_building: set[int] | None = None
        self._unsaved = 0
        self._saved_at = time.monotonic()

    def load_once(self) -> bool:
        """Takes the snapshot over on first use; whether this call did."""
        if self._loaded:
            return False
        with self._swap:
            if self._loaded:
                return False
            saved = self._snapshot.load()
            if saved is not None:
                self.view, self.state = saved
            self._loaded = True
            return True

    def put(self, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts]) -> None:
        rows = np.array(vectors, dtype=np.float32)  # a copy: the caller may use its array again
        if not len(ids):
            return
        if rows.shape != (len(ids), rows.shape[-1]):
            raise ValueError(f"{len(ids)} ids need as many rows, not an array of shape {rows.shape}.")
        _check_dim(self.kb_id, self._dim() or rows.shape[1], rows.shape[1])
        self._put.update(zip(map(int, ids), zip(rows, facts, strict=True), strict=True))
        self._deleted.difference_update(map(int, ids))

    def delete(self, ids: Sequence[int]) -> None:
        for entry_id in map(int, ids):
            self._put.pop(entry_id, None)
            self._deleted.add(entry_id)

    def drop_pending(self) -> None:
        self._put, self._deleted = {}, set()

    def refresh(self, revision: int) -> None:
        with self._swap:
            touched = self._put.keys() | self._deleted
            if touched and (self._put or self.view is not None):
                view = self.view or empty_view(self._dim())
                self.view = view.changed(self._put, self._deleted)
                if self._changed_while_building is not None:
                    self._changed_while_building |= touched
            self._unsaved += len(touched) + (revision != self.state.revision)
            self.state = IndexState(revision=revision, built_with=self.state.built_with)
        self.drop_pending()

    def clear(self, built_with: str) -> None:
        self.drop_pending()
        with self._swap:
            self.view, self.state = None, IndexState(revision=0, built_with=built_with)
            self._changed_while_building, self._unsaved = None, 0
            self.stop_building.set()
            self.stop_building = threading.Event()
        self._snapshot.remove()

    def is_too_large(self) -> bool:
        view = self.view
        return view is not None and is_due(view, self._exact_max)

    def enlarge(self) -> None:
        """Builds aside while searches and changes go on, then takes what changed meanwhile into account."""
        with self._swap:
            if not self.is_too_large() or self.view is None:
                return
            view, stop, self._changed_while_building = self.view, self.stop_building, set()
        try:
            large, alive = enlarged(view, self._clusters_min, stop)
            with self._swap:
                changed = self._changed_while_building
                if self.view is not None and changed is not None and not stop.is_set():
                    self.view = self.view.with_large(large, alive, changed)
                    self._unsaved += SNAPSHOT_CHANGES  # what a restart must not make again
        finally:
            self._changed_while_building = None

    def needs_snapshot(self) -> bool:
        waited_s = time.monotonic() - self._saved_at
        return self._unsaved >= SNAPSHOT_CHANGES or (self._unsaved > 0 and waited_s > SNAPSHOT_SECONDS)

    def save_if_due(self) -> None:
        if self.needs_snapshot():
            self.save()

    def save(self) -> None:
        with self._swap:
            view, state, unsaved = self.view, self.state, self._unsaved
        if view is not None and unsaved and state.revision:
            if self._snapshot.save(view, state):
                self._map_large(view)
            with self._swap:
                self._unsaved = max(0, self._unsaved - unsaved)
        self._saved_at = time.monotonic()

    def _map_large(self, saved: VectorView) -> None:
        """Takes the large part from its file from now on: what was built in memory is freed, and processes share what is mapped."""
        large = None if saved.large is None else self._snapshot.mapped(saved.large)
        if large is not None:
            with self._swap:
                if self.view is not None and self.view.large is saved.large:
                    self.view = replace(self.view, large=large)
            give_back_memory()

    def _dim(self) -> int:
        """The length of the vectors that are here or wait; 0 where there are none."""
        return self.view.dim if self.view is not None else next((len(row) for row, _ in self._put.values()), 0)


def _log_unsaved(kb_id: int, error: OSError) -> None:
    logger.warning("vector_snapshot_failed kb=%d reason=%s", kb_id, error)


def _check_dim(kb_id: int, expected: int, found: int) -> None:
    if found != expected:
        message = f"The vector index of knowledge base {kb_id} holds vectors of length {expected}, not {found}. Run `manage.py reindex`."
        raise IndexMismatch(message, repair="manage.py reindex", kb=kb_id)
