"""How is a lexical index filled aside? A tantivy part that no state names until it is switched to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import tantivy

from apps.retrieval.indexes.analysis import analyze
from apps.retrieval.indexes.tantivy_part import create_part, document_of, open_part, parse_state
from core.types import IndexEntry, IndexState

WRITER_BYTES = 50_000_000

TakeOver = Callable[[str, IndexState], None]


class PartBuild:
    """LexicalBuild: a new part in the folder of a knowledge base. Its memory is that of one tantivy writer, whatever is put."""

    def __init__(self, home: Path, built_with: str, take_over: TakeOver) -> None:
        self._part = new_part(home)
        self._folder = home / self._part
        self._built_with, self._take_over = built_with, take_over
        self._writer: tantivy.IndexWriter | None = None
        self.revision = 0

    def put(self, kb_id: int, entries: Sequence[IndexEntry], *, as_of: int = 0) -> None:
        """Adds or replaces entries by id."""
        put_entries(self._open_writer(), entries)

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        """Removes entries; unknown ids are fine."""
        delete_entries(self._open_writer(), ids)

    def refresh(self, kb_id: int, revision: int) -> None:
        """Commits what was put and deleted, and notes the revision."""
        if self._writer is not None:
            self._writer.commit()
        self.revision = revision

    def settle(self) -> None:
        """Waits for the merges of what was committed; what was not is dropped."""
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def switch(self) -> None:
        """Has the part named by the state."""
        self.settle()
        self._take_over(self._part, IndexState(revision=self.revision, built_with=self._built_with))

    def close(self) -> None:
        """Lets go of the part, whose files may then be removed."""
        self._writer = None

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = open_writer(self._folder)
        return self._writer


def new_part(home: Path) -> str:
    """The name of a new, empty part in the folder."""
    part = f"part-{uuid.uuid4().hex[:12]}"
    create_part(home / part)
    return part


def left_over(home: Path, state: bytes | None) -> list[Path]:
    """The parts of the folder that its state does not name; none where that cannot be known."""
    try:
        part = "" if state is None else str(parse_state(state)["part"])
    except ValueError:
        return []
    return [path for path in home.glob("part-*") if path.name != part]


def open_writer(folder: Path) -> tantivy.IndexWriter:
    """What changes the part; one at a time. Raises ValueError where files are damaged."""
    return open_part(folder).writer(heap_size=WRITER_BYTES, num_threads=1)


def put_entries(writer: tantivy.IndexWriter, entries: Sequence[IndexEntry]) -> None:
    """Adds or replaces entries by id, with the next commit."""
    for entry in entries:
        writer.delete_documents_by_term("id", entry.id)
        writer.add_document(document_of(entry, analyze(entry.text)))


def delete_entries(writer: tantivy.IndexWriter, ids: Sequence[int]) -> None:
    """Removes entries, with the next commit."""
    for entry_id in ids:
        writer.delete_documents_by_term("id", entry_id)
