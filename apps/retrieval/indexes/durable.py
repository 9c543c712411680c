"""How do index files survive crashes and other processes? Atomic replacement of files and a lock on a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

try:
    import fcntl

    def _lock_file(file: BinaryIO, *, wait: bool) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

except ImportError:  # Windows has no fcntl; msvcrt gives up after ten tries of a second each, so ask again
    import msvcrt

    def _lock_file(file: BinaryIO, *, wait: bool) -> bool:
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            except OSError:
                if not wait:
                    return False
            else:
                return True


class FolderLock:
    """Excludes other threads of this process and other processes from changing a folder; re-entrant in one thread.

    The operating system frees the lock of a process that dies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.RLock()
        self._depth = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._threads.acquire()
        try:
            self._take(wait=True)
        except BaseException:
            self._threads.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave()

    @contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """Tries without waiting; yields whether the lock is held."""
        held = self._threads.acquire(blocking=False)
        if held and not self._take(wait=False):
            self._threads.release()
            held = False
        try:
            yield held
        finally:
            if held:
                self._leave()

    @property
    def depth(self) -> int:
        """How often it was taken and not yet left by a thread of this process; exact when asked by that thread."""
        return self._depth

    def _take(self, *, wait: bool) -> bool:
        if self._depth == 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("ab")
            if not _lock_file(file, wait=wait):
                file.close()
                return False
            self._file = file
        self._depth += 1
        return True

    def _leave(self) -> None:
        self._depth -= 1
        if self._depth == 0 and self._file is not None:
            self._file.close()
            self._file = None
        self._threads.release()


def replace_file(path: Path, content: bytes) -> None:
    """Writes `content` so that a crash leaves the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames in the folder durable, where the platform can open folders."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
