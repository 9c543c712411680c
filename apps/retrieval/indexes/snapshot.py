"""What does a restart need not do again? Vectors of one knowledge base kept in files between runs.

A snapshot is a handful of files and `manifest.json`, which names them with sizes and sha256 and is renamed into place last.
A snapshot that is torn, changed or missing is none at all: the follower then fills the index from the database.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import numpy as np

from apps.retrieval.indexes.durable import FolderLock, replace_file, sync_folder
from apps.retrieval.indexes.fact_table import FactTable
from apps.retrieval.indexes.large_part import LargePart
from apps.retrieval.indexes.vector_clusters import Clusters
from apps.retrieval.indexes.vector_gpu import GpuRows, gpu_is_there
from apps.retrieval.indexes.vector_graph import Graph
from apps.retrieval.indexes.vector_view import VectorView
from core.types import IndexState

logger = logging.getLogger(__name__)

FORMAT = 3  # a snapshot of another format counts as none
_BLOCK = 1 << 20
_FACTS = ("starts", "codes", "days")


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedFile:
    """One file of a snapshot."""

    name: str
    bytes: int
    sha256: str


class SnapshotFolder:
    """The snapshot of one knowledge base; several processes may share the folder, one writes at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest = folder / "manifest.json"
        self._lock = FolderLock(folder / "lock")
        self._large: LargePart | None = None
        self._large_file: SavedFile | None = None
        self._mapped_file: SavedFile | None = None

    def load(self) -> tuple[VectorView, IndexState] | None:
        """What was saved last, or None where there is nothing whole: what is damaged is logged and removed."""
        if not self._manifest.exists():
            return None
        try:
            return self._load()
        except (ValueError, KeyError, TypeError, OSError, RuntimeError):
            with self._lock:  # another process may just have put a new snapshot in place
                return self._load_or_remove()

    def save(self, view: VectorView, state: IndexState) -> bool:
        """Writes the view unless another process is writing, or has saved the same or more; returns whether it wrote.

        Raises OSError where it cannot be written; what was written of it is gone then, and the snapshot before it stays.
        """
        with self._lock.held_if_free() as held:
            if not held or self._has(view, state):
                return False
            try:
                files = self._write_files(view)
                self._write_manifest(view, state, files)
            except OSError:
                self._remove_others(self._named_files())
                raise
            self._remove_others({file.name for file in files.values()})
            return True

    def mapped(self, large: LargePart) -> LargePart | None:
        """The same part out of the file that `save` has just written it to: its memory then is the system's, shared and given back at need.

        None where it is mapped already, lies on a GPU beside its rows, or the file is gone.
        """
        with self._lock:
            file = self._large_file
            if self._large is not large or file is None or file == self._mapped_file or isinstance(large, GpuRows):
                return None
            try:
                index = faiss.read_index(str(self._folder / file.name), faiss.IO_FLAG_MMAP_IFC)
            except RuntimeError as error:  # the index was cleared since, and the file with it
                logger.warning("vector_snapshot_not_mapped folder=%s reason=%s", self._folder, error)
                return None
            self._large, self._mapped_file = type(large)(index, large.ids, large.facts), file
            return self._large

    def remove(self) -> None:
        """Forgets the snapshot: what is loaded next is nothing."""
        with self._lock:
            self._manifest.unlink(missing_ok=True)
            self._remove_others(set())

    def _load_or_remove(self) -> tuple[VectorView, IndexState] | None:
        try:
            return self._load()
        except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
            logger.warning("vector_snapshot_ignored folder=%s reason=%s", self._folder, error)
            self.remove()
            return None

    def _load(self) -> tuple[VectorView, IndexState]:
        manifest = json.loads(self._manifest.read_bytes())
        if manifest["format"] != FORMAT:
            raise ValueError(f"format {manifest['format']} is not {FORMAT}")
        files = {part: SavedFile(**row) for part, row in manifest["files"].items()}
        for file in files.values():
            self._check(file)
        arrays = {part: np.load(self._folder / file.name, allow_pickle=False) for part, file in files.items() if part != "large"}
        large = None
        if "large" in files:
            index = faiss.read_index(str(self._folder / files["large"].name), faiss.IO_FLAG_MMAP_IFC)
            large = _kind_of(index)(index, arrays["large_ids"], _facts("large", arrays))
            self._large, self._large_file, self._mapped_file = large, files["large"], files["large"]
        view = VectorView(int(manifest["dim"]), arrays["rows"], arrays["row_ids"], _facts("row", arrays), large, arrays.get("alive"))
        return view, IndexState(revision=int(manifest["revision"]), built_with=str(manifest["built_with"]))

    def _check(self, file: SavedFile) -> None:
        path = self._folder / file.name
        if path.stat().st_size != file.bytes or _sha256(path) != file.sha256:
            raise ValueError(f"{file.name} is not what was saved")

    def _named_files(self) -> set[str]:
        """The files of the snapshot in force; none where there is none."""
        try:
            return {str(file["name"]) for file in json.loads(self._manifest.read_bytes())["files"].values()}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return set()

    def _has(self, view: VectorView, state: IndexState) -> bool:
        try:
            saved = json.loads(self._manifest.read_bytes())
            as_far = (saved["revision"], saved["nodes"]) >= (state.revision, view.nodes)
            return bool(saved["built_with"] == state.built_with and as_far)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False

    def _write_files(self, view: VectorView) -> dict[str, SavedFile]:
        files = {
            "rows": self._write_array(view.rows),
            "row_ids": self._write_array(view.row_ids),
            **self._write_facts("row", view.row_facts),
        }
        if view.large is not None and view.alive is not None:
            files["large"] = self._write_large(view.large)
            files["large_ids"] = self._write_array(view.large.ids)
            files["alive"] = self._write_array(view.alive)
            files |= self._write_facts("large", view.large.facts)
        sync_folder(self._folder)
        return files

    def _write_array(self, array: np.ndarray) -> SavedFile:
        path = self._folder / f"{uuid.uuid4().hex[:16]}.npy"
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        return _described(path)

    def _write_facts(self, part: str, facts: FactTable) -> dict[str, SavedFile]:
        return {f"{part}_{name}": self._write_array(getattr(facts, name)) for name in _FACTS}

    def _write_large(self, large: LargePart) -> SavedFile:
        """The file of this very part where it is already there: it is large and changes rarely."""
        if self._large is large and self._large_file is not None and (self._folder / self._large_file.name).exists():
            return self._large_file
        path = self._folder / f"{uuid.uuid4().hex[:16]}.faiss"
        try:
            faiss.write_index(large.index, str(path))
        except RuntimeError as error:  # so FAISS says that the disk is full
            raise OSError(str(error)) from error
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        self._large, self._large_file = large, _described(path)
        return self._large_file

    def _write_manifest(self, view: VectorView, state: IndexState, files: dict[str, SavedFile]) -> None:
        row = {
            "format": FORMAT,
            "revision": state.revision,
            "built_with": state.built_with,
            "dim": view.dim,
            "nodes": view.nodes,
            "files": {part: asdict(file) for part, file in files.items()},
        }
        replace_file(self._manifest, json.dumps(row, indent=1).encode())

    def _remove_others(self, keep: set[str]) -> None:
        for pattern in ("*.npy", "*.faiss"):
            for path in self._folder.glob(pattern):
                if path.name not in keep:
                    path.unlink(missing_ok=True)


def _kind_of(index: faiss.Index) -> type[LargePart]:
    if isinstance(index, faiss.IndexScalarQuantizer):
        if not gpu_is_there():
            raise ValueError("it was made for a GPU, and there is none")
        return GpuRows
    return Clusters if isinstance(index, faiss.IndexRefine) else Graph


def _facts(part: str, arrays: dict[str, np.ndarray]) -> FactTable:
    return FactTable(*(arrays[f"{part}_{name}"] for name in _FACTS))


def _described(path: Path) -> SavedFile:
    return SavedFile(name=path.name, bytes=path.stat().st_size, sha256=_sha256(path))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
