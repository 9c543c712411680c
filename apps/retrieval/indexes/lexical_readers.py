"""Which state of a words index on disk is searched? The one that its state file names now; some are kept open."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from apps.retrieval.indexes.tantivy_part import LexicalReader, damage_named, open_reader
from core.errors import IndexMismatch

MAX_STATE_BYTES = 65_536


class LexicalReaders:
    """Readers of knowledge bases' indexes, those searched last kept open; `home` says in which folder one lies."""

    def __init__(self, home: Callable[[int], Path], *, max_open: int) -> None:
        self._home, self._max_open = home, max_open
        self._mutex = threading.RLock()
        self._open: OrderedDict[int, LexicalReader] = OrderedDict()
        self._state_files: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    def latest(self, kb_id: int) -> LexicalReader | None:
        """The latest committed state, or None where there is no index yet. Raises IndexMismatch where files are damaged."""
        stamp = self.stamp(kb_id)
        with self._mutex:
            reader = self._open.get(kb_id)
            while stamp is not None and (reader is None or reader.stamp != stamp):
                try:
                    with damage_named(kb_id):
                        reader = self._open[kb_id] = open_reader(self._home(kb_id), stamp, reader)
                except IndexMismatch:
                    tried, stamp = stamp, self.stamp(kb_id)
                    if tried == stamp:  # else another process has just started a new part and removed this one
                        raise
            if stamp is None or reader is None:
                return None
            self._open.move_to_end(kb_id)
            while len(self._open) > self._max_open:
                self._open.popitem(last=False)
            return reader if reader.has_our_fields else None

    def stamp(self, kb_id: int) -> bytes | None:
        """The content of the state file, None where there is none. At every search: a path built anew and a file object take longer than reading."""
        path = self._state_files.get(kb_id) or self._state_files.setdefault(kb_id, str(self._home(kb_id) / "state.json"))
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.read(file, MAX_STATE_BYTES)
        finally:
            os.close(file)

    def close(self) -> None:
        """Lets go of every open file; what is asked for next is opened again."""
        with self._mutex:
            self._open.clear()
