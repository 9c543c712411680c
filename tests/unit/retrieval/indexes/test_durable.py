"""Locks and atomic files."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from apps.retrieval.indexes.durable import FolderLock, replace_file

TRY = """
import sys
from pathlib import Path
from apps.retrieval.indexes.durable import FolderLock
with FolderLock(Path(sys.argv[1])).held_if_free() as held:
    print(held)
"""


def other_process_gets(path: Path) -> bool:
    run = subprocess.run([sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, timeout=60, check=True)
    return run.stdout.strip() == "True"


def test_another_process_waits_until_the_lock_is_left(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    with lock:
        assert not other_process_gets(tmp_path / "lock")
    assert other_process_gets(tmp_path / "lock")


def test_one_thread_may_take_it_again(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    with lock, lock:
        assert lock.depth == 2
    assert lock.depth == 0


def test_another_thread_and_another_instance_are_kept_out(tmp_path: Path) -> None:
    lock, other = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    seen: list[bool] = []

    def try_both() -> None:
        for one in (lock, other):
            with one.held_if_free() as held:
                seen.append(held)

    with lock:
        thread = threading.Thread(target=try_both)
        thread.start()
        thread.join()
    assert seen == [False, False]


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    replace_file(tmp_path / "state", b"first, longer")
    replace_file(tmp_path / "state", b"second")
    assert (tmp_path / "state").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
