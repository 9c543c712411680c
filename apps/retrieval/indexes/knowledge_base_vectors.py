"""What vectors does an index hold of one knowledge base? The view that is searched, what waits for the next refresh, and its snapshot."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from apps.retrieval.indexes.enlarging import enlarged, is_due
from apps.retrieval.indexes.snapshot import SnapshotFolder
from apps.retrieval.indexes.vector_view import VectorView, empty_view
from core.errors import IndexMismatch
from core.native import give_back_memory
from core.types import Facts, FloatArray, IndexState

SNAPSHOT_CHANGES = 5_000
SNAPSHOT_SECONDS = 60.0

_NOTHING = IndexState(revision=0, built_with="")


class KnowledgeBaseVectors:
    """One knowledge base: the view in force and what waits for the next refresh.

    `exclusive` is held by whoever changes entries, for as long as encoding takes; `swap` only while a view is replaced.
    """

    def __init__(self, kb_id: int, folder: Path, exact_max: int, clusters_min: int) -> None:
        self.kb_id = kb_id
        self.exclusive = threading.RLock()
        self.building = threading.Lock()
        self.depth = 0
        self.is_due = False
        self.view: VectorView | None = None
        self.state = _NOTHING
        self.stop_building = threading.Event()
        self._exact_max, self._clusters_min = exact_max, clusters_min
        self._folder, self._snapshot = folder, SnapshotFolder(folder)
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
        """Notes vectors float32[n, dim] to be added or replaced. Raises IndexMismatch where vectors of another length are here."""
        rows = np.array(vectors, dtype=np.float32)  # a copy: the caller may use its array again
        if not len(ids):
            return
        if rows.shape != (len(ids), rows.shape[-1]):
            raise ValueError(f"{len(ids)} ids need as many rows, not an array of shape {rows.shape}.")
        check_dim(self.kb_id, self._dim() or rows.shape[1], rows.shape[1])
        self._put.update(zip(map(int, ids), zip(rows, facts, strict=True), strict=True))
        self._deleted.difference_update(map(int, ids))

    def delete(self, ids: Sequence[int]) -> None:
        """Notes entries to be removed."""
        for entry_id in map(int, ids):
            self._put.pop(entry_id, None)
            self._deleted.add(entry_id)

    def drop_pending(self) -> None:
        """Forgets what was noted since the last refresh."""
        self._put, self._deleted = {}, set()

    def refresh(self, revision: int) -> None:
        """Puts a view with all that was noted in place."""
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
        """Starts anew, empty, and removes the snapshot."""
        self.drop_pending()
        with self._swap:
            self.view, self.state = None, IndexState(revision=0, built_with=built_with)
            self._changed_while_building, self._unsaved = None, 0
            self.stop_building.set()
            self.stop_building = threading.Event()
        self._snapshot.remove()

    def aside(self, built_with: str) -> KnowledgeBaseVectors:
        """An empty one to be filled while this one is searched; it has nothing on disk and saves nothing."""
        aside = KnowledgeBaseVectors(self.kb_id, self._folder, self._exact_max, self._clusters_min)
        aside.state, aside._loaded = IndexState(revision=0, built_with=built_with), True
        return aside

    def take_over(self, aside: KnowledgeBaseVectors) -> None:
        """Puts what was filled aside in this one's place; what was noted since the last refresh is dropped."""
        self.drop_pending()
        with self._swap:
            self.view, self.state = aside.view, aside.state
            self._changed_while_building = None
            self._unsaved += SNAPSHOT_CHANGES
            self.stop_building.set()
            self.stop_building = threading.Event()
        if aside.view is None:
            self._snapshot.remove()

    @property
    def rows(self) -> int:
        """How many vectors are scanned exactly."""
        return 0 if self.view is None else len(self.view.row_ids)

    def is_too_large(self) -> bool:
        """Whether the part that is scanned exactly has grown beyond its limit."""
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
        """Whether enough has changed since the last snapshot, or it is old."""
        waited_s = time.monotonic() - self._saved_at
        return self._unsaved >= SNAPSHOT_CHANGES or (self._unsaved > 0 and waited_s > SNAPSHOT_SECONDS)

    def save_if_due(self) -> None:
        """Saves where a snapshot is due."""
        if self.needs_snapshot():
            self.save()

    def save(self) -> None:
        """Writes what has changed since the last snapshot to disk."""
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


def check_dim(kb_id: int, expected: int, found: int) -> None:
    """Raises IndexMismatch where vectors of another length are here."""
    if found != expected:
        message = f"The vector index of knowledge base {kb_id} holds vectors of length {expected}, not {found}. Run `manage.py reindex`."
        raise IndexMismatch(message, repair="manage.py reindex", kb=kb_id)
