"""Where do the vectors of a knowledge base lie on disk? In a folder for each encoder that made some."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from apps.retrieval.indexes.durable import FolderLock

PLAIN = "vectors"  # of no encoder in particular


def vector_folder(home: Path, encoder: str) -> Path:
    """The folder of an encoder's vectors. What lies in the plain one, where all did in earlier versions, moves there if the encoder made it."""
    if not encoder:
        return home / PLAIN
    folder = home / f"{PLAIN}-{hashlib.sha256(encoder.encode()).hexdigest()[:12]}"
    if not folder.exists() and saved_by(home / PLAIN).partition(":")[2] == encoder:
        with suppress(OSError):  # another process was quicker
            (home / PLAIN).rename(folder)
    return folder


def saved_by(folder: Path) -> str:
    """What the snapshot in the folder was built with; empty where there is none."""
    try:
        return str(json.loads((folder / "manifest.json").read_bytes())["built_with"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def remove_left_over(home: Path, still_there: Callable[[str], bool]) -> None:
    """Removes the folders whose snapshot was not built with what is `still_there`; waits for whoever writes to one."""
    for folder in [home / PLAIN, *home.glob(f"{PLAIN}-*")]:
        if folder.is_dir() and not still_there(saved_by(folder)):
            with FolderLock(folder / "lock"):
                if not still_there(saved_by(folder)):  # somebody may have saved while this waited
                    shutil.rmtree(folder, ignore_errors=True)
