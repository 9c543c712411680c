"""Where do files lie while they are read? In a folder that goes with whoever holds it, also where its process is killed: the next one clears it away."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "wenlu-held-"
_LOCK = ".held"


def held_folder(owner: object) -> tuple[Path, Callable[[], object]]:
    """A new folder for temporary files, and what deletes it; that happens at the latest when nobody holds `owner` any more.

    A lock on a file in it says that its process lives: the kernel lets go of it with the process, in whichever container that ran.
    """
    clear_lost_folders()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / "new").rename(folder / _LOCK)  # under this name it was never seen unlocked
    return folder, weakref.finalize(owner, _delete, folder, lock)


class _Holder:
    """Holds a folder as long as it lives."""


@contextmanager
def held_file(data: bytes) -> Iterator[Path]:
    """A file with these bytes, in a folder of its own, while the block runs."""
    holder = _Holder()
    folder, delete = held_folder(holder)
    try:
        (folder / "0").write_bytes(data)
        yield folder / "0"
    finally:
        delete()


def clear_lost_folders() -> int:
    """Deletes the folders whose processes ended without doing so. How many."""
    lost = [folder for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_lost(folder)]
    for folder in lost:
        shutil.rmtree(folder, ignore_errors=True)
    return len(lost)


def _is_lost(folder: Path) -> bool:
    """Whether it is ours and nobody holds its lock. One without a lock is just being made."""
    with suppress(OSError):
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            return False
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(lock)
    return False


def _delete(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
