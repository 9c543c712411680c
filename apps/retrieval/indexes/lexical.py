"""Which entries share words with a question? BM25 over an inverted index on disk, one folder a knowledge base (tantivy)."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import tantivy

from apps.retrieval.indexes.analysis import analyze
from apps.retrieval.indexes.durable import FolderLock, replace_file
from apps.retrieval.indexes.lexical_readers import LexicalReaders
from apps.retrieval.indexes.part_build import PartBuild, delete_entries, left_over, new_part, open_writer, put_entries
from apps.retrieval.indexes.tantivy_part import (
    LexicalReader,
    ceiling_of,
    damage_named,
    frequencies_of,
    ids_at,
    parse_state,
    rarest,
    score_term,
    search_part,
    writing,
)
from core.config import get_settings
from core.types import NO_FILTERS, EntryKind, Filters, Hit, IndexEntry, IndexState, Scope

MAX_OPEN = 64

_NOTHING = IndexState(revision=0, built_with="")


@dataclass(kw_only=True, slots=True)
class _Writer:
    """What the holder of the lock is changing."""

    writer: tantivy.IndexWriter
    part: str
    changed: bool = False
    committed: bool = False


class EmbeddedLexicalIndex:
    """LexicalIndex on local disk, shared by the processes of one machine.

    A folder holds `state.json` (revision, what it was built with, the part in force) and one tantivy index, the part.
    The state is replaced after tantivy's commit: a crash between the two repeats work and loses none. Every search
    reads the small state file once (5 µs), so another process's changes are seen at once. A damaged folder raises
    IndexMismatch; a build mends it, and so does `clear`, by starting a new part. An index whose fields are not today's counts as none.
    """

    def __init__(self, kind: EntryKind = EntryKind.FAQ, *, folder: Path | None = None, max_open: int = MAX_OPEN) -> None:
        self._folder = (folder or get_settings().data_dir / "indexes") / kind.value
        self._mutex = threading.Lock()
        self._locks: dict[int, FolderLock] = {}
        self._build_locks: dict[int, FolderLock] = {}
        self._writers: dict[int, _Writer] = {}
        self._readers = LexicalReaders(self._home, max_open=max_open)

    # Searching

    def search(self, text: str, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` hits within the scope that the filters admit, best first; score is BM25.

        Statistics are those of the hit's whole knowledge base, so that a filter changes no score. Of a long text the `MAX_QUERY_TERMS` rarest known terms count. Raises IndexMismatch where files are damaged.
        """
        terms = dict.fromkeys(analyze(text))
        hits: list[Hit] = []
        for kb_id, reader in self._filled(scope) if terms and k > 0 else ():
            with damage_named(kb_id):
                hits += search_part(reader, rarest(frequencies_of(reader.searcher, terms)), k, filters)
        return _best(hits, k)

    def search_normalized(self, text: str, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Like `search`, with scores from 0 to 1: BM25 divided by what the text itself would score as an entry.

        Comparable over knowledge bases of any size, down to a single entry, where BM25 itself is not.
        """
        terms = Counter(analyze(text))
        hits: list[Hit] = []
        for kb_id, reader in self._filled(scope) if terms and k > 0 else ():
            with damage_named(kb_id):
                frequencies = frequencies_of(reader.searcher, terms)
                ceiling = ceiling_of(terms, frequencies, reader)
                found = search_part(reader, rarest(frequencies), k, filters)
            hits += [Hit(hit.id, min(hit.score / ceiling, 1.0)) for hit in found]
        return _best(hits, k)

    def term_scores(self, text: str, kb_id: int, ids: Sequence[int]) -> dict[int, dict[str, float]]:
        """What each term adds to the BM25 of each of these entries; entries without any are left out. One small search a term."""
        reader = self._readers.latest(kb_id)
        if reader is None or not reader.searcher.num_docs or not ids:
            return {}
        scores: dict[int, dict[str, float]] = {}
        with damage_named(kb_id):
            for term in rarest(frequencies_of(reader.searcher, dict.fromkeys(analyze(text)))):
                for hit in score_term(reader, term, ids):
                    scores.setdefault(hit.id, {})[term] = hit.score
        return scores

    def frequencies(self, terms: Sequence[str], scope: Scope) -> dict[str, int]:
        """How many entries within the scope have each of the terms, those that were replaced and not merged away yet included."""
        found: Counter[str] = Counter()
        for kb_id, reader in self._filled(scope):
            with damage_named(kb_id):
                found.update(frequencies_of(reader.searcher, set(terms)))
        return dict(found)

    def _filled(self, scope: Scope) -> Iterator[tuple[int, LexicalReader]]:
        """The knowledge bases of the scope that have entries here, each in its latest committed state."""
        for kb_id in dict.fromkeys(scope.kb_ids):
            reader = self._readers.latest(kb_id)
            if reader is not None and reader.searcher.num_docs:
                yield kb_id, reader

    # Following the database

    @contextmanager
    def exclusive(self, kb_id: int) -> Iterator[None]:
        """Held by whoever changes the index; what was not refreshed when it ends is dropped."""
        with self._lock(kb_id) as lock:
            try:
                yield
            finally:
                if lock.depth == 1:
                    self._release_writer(kb_id)

    def state(self, kb_id: int) -> IndexState:
        """How far the index follows; revision 0 where there is none yet. Raises IndexMismatch where files are damaged."""
        reader = self._readers.latest(kb_id)
        return reader.state if reader else _NOTHING

    def put(self, kb_id: int, entries: Sequence[IndexEntry], *, as_of: int = 0) -> None:
        """Adds or replaces entries by id; takes effect with `refresh`."""
        writer = self._open_writer(kb_id)
        with writing(kb_id):
            put_entries(writer.writer, entries)
        writer.changed = writer.changed or bool(entries)

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        """Removes entries; unknown ids are fine; takes effect with `refresh`."""
        writer = self._open_writer(kb_id)
        delete_entries(writer.writer, ids)
        writer.changed = writer.changed or bool(ids)

    def refresh(self, kb_id: int, revision: int) -> None:
        """Commits what was put and deleted, then notes the revision. Raises SearchUnavailable where it cannot be written."""
        writer, state = self._open_writer(kb_id), IndexState(revision=revision, built_with=self._built_with(kb_id))
        with writing(kb_id):
            if writer.changed:
                writer.writer.commit()
                writer.changed, writer.committed = False, True
            self._write_state(kb_id, writer.part, state)

    def clear(self, kb_id: int, built_with: str) -> None:
        """Starts a new, empty part and removes the old one, damaged or not."""
        with self.exclusive(kb_id), writing(kb_id):
            self._take_over(kb_id, new_part(self._home(kb_id)), IndexState(revision=0, built_with=built_with))
            with self._build_lock(kb_id).held_if_free() as free:
                if free:  # else the build that is under way removes what is left over
                    self._remove_left_over(kb_id)

    @contextmanager
    def building(self, kb_id: int, built_with: str) -> Iterator[PartBuild]:
        """A new part, filled aside; waits while another thread or process builds one. Damage to the old part does not matter."""
        with self._build_lock(kb_id):
            with self.exclusive(kb_id):
                self._remove_left_over(kb_id)
            build = PartBuild(self._home(kb_id), built_with, lambda part, state: self._take_over(kb_id, part, state))
            try:
                yield build
            finally:
                build.close()
                with self.exclusive(kb_id):
                    self._remove_left_over(kb_id)

    def sweep(self, kb_id: int, still_there: Callable[[str], bool] = lambda _: False) -> None:
        """Removes parts that builds have left whose process died."""
        if not left_over(self._home(kb_id), self._readers.stamp(kb_id)):
            return
        with self._build_lock(kb_id).held_if_free() as free:
            if free:
                with self.exclusive(kb_id):
                    self._remove_left_over(kb_id)

    def ids(self, kb_id: int) -> set[int]:
        """Every visible entry's id."""
        reader = self._readers.latest(kb_id)
        if reader is None or not reader.searcher.num_docs:
            return set()
        with damage_named(kb_id):
            found = reader.searcher.search(tantivy.Query.all_query(), reader.searcher.num_docs, count=False)
            return set(ids_at(reader.searcher, [address for _, address in found.hits]))

    def close(self) -> None:
        """Lets go of every open file; the index opens again on its next use."""
        self._readers.close()

    # Files

    def _home(self, kb_id: int) -> Path:
        return self._folder / str(kb_id) / "lexical"

    def _lock(self, kb_id: int) -> FolderLock:
        with self._mutex:
            return self._locks.setdefault(kb_id, FolderLock(self._home(kb_id) / "lock"))

    def _build_lock(self, kb_id: int) -> FolderLock:
        with self._mutex:
            return self._build_locks.setdefault(kb_id, FolderLock(self._home(kb_id) / "build.lock"))

    def _open_writer(self, kb_id: int) -> _Writer:
        if not self._lock(kb_id).depth:
            raise RuntimeError("put, delete and refresh must be called while `exclusive` is held.")
        if kb_id not in self._writers:
            if not (self._home(kb_id) / "state.json").exists():
                self.clear(kb_id, "")
            with damage_named(kb_id):
                part = str(parse_state((self._home(kb_id) / "state.json").read_bytes())["part"])
                self._writers[kb_id] = _Writer(writer=open_writer(self._home(kb_id) / part), part=part)
        return self._writers[kb_id]

    def _release_writer(self, kb_id: int) -> None:
        writer = self._writers.get(kb_id)
        if writer is not None and writer.committed and not writer.changed:
            self._writers.pop(kb_id).writer.wait_merging_threads()  # else merges begun by the commit would be thrown away
        else:
            self._drop_writer(kb_id)

    def _drop_writer(self, kb_id: int) -> None:
        writer = self._writers.pop(kb_id, None)
        if writer is not None:
            with suppress(ValueError, OSError):  # of what could not be written nothing can be taken back: nobody has seen it
                writer.writer.rollback()

    def _take_over(self, kb_id: int, part: str, state: IndexState) -> None:
        """Puts another part in force."""
        if not self._lock(kb_id).depth:
            raise RuntimeError("switch must be called while `exclusive` is held.")
        self._drop_writer(kb_id)
        self._write_state(kb_id, part, state)

    def _remove_left_over(self, kb_id: int) -> None:
        for path in left_over(self._home(kb_id), self._readers.stamp(kb_id)):
            shutil.rmtree(path, ignore_errors=True)

    def _built_with(self, kb_id: int) -> str:
        return str(parse_state((self._home(kb_id) / "state.json").read_bytes())["built_with"])

    def _write_state(self, kb_id: int, part: str, state: IndexState) -> None:
        row = {"revision": state.revision, "built_with": state.built_with, "part": part, "commit": uuid.uuid4().hex}
        replace_file(self._home(kb_id) / "state.json", json.dumps(row).encode())


def _best(hits: Iterable[Hit], k: int) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:k]
