"""Where do the files of jobs lie until they are done with? Each job has a folder of its own below the data folder."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO

from apps.serving.models import Job
from core.config import get_settings
from core.errors import InvalidRequest, Overloaded
from core.text import clean_text

MAX_FILES = 1000
MAX_NAME_CHARS = 200
ORPHAN_S = 3600.0
_CHUNK = 1 << 20


def jobs_folder() -> Path:
    """The folder of all jobs' folders."""
    return get_settings().data_dir.resolve() / "jobs"


def folder_of(job: Job) -> Path:
    """The job's own folder; it may have none yet."""
    return jobs_folder() / (job.folder or "none")


def store_files(files: Iterable[tuple[str, IO[bytes]]]) -> tuple[str, list[tuple[str, int]]]:
    """Writes the files to a new folder: its name, and the name and size in bytes of each file, which lies there as its number.

    Raises InvalidRequest for a name that cannot be used or too many files, Overloaded where what waits would take too much room.
    """
    folder = secrets.token_hex(16)
    place, stored = jobs_folder() / folder, list[tuple[str, int]]()
    place.mkdir(parents=True, mode=0o700)
    try:
        room = get_settings().jobs_max_mb * 2**20 - stored_bytes()
        for number, (name, source) in enumerate(files):
            if number >= MAX_FILES:
                raise InvalidRequest(f"A job takes at most {MAX_FILES} files: send a zip archive, or several jobs.", field="files")
            size = _write(source, place / str(number), room)
            room -= size
            stored.append((usable_name(name), size))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return folder, stored


def usable_name(name: str) -> str:
    """The name without folders, as documents are named by it. Raises InvalidRequest."""
    cleaned = clean_text(PurePosixPath(name.replace("\\", "/")).name).strip()
    if not cleaned or cleaned.startswith(".") or len(cleaned) > MAX_NAME_CHARS:
        raise InvalidRequest(f"A file needs a name of 1 to {MAX_NAME_CHARS} characters that does not begin with a dot.", field="files")
    return cleaned


def stored_bytes() -> int:
    """How much the files of all jobs take."""
    place = jobs_folder()
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) if place.is_dir() else 0


def remove_files(folder: str) -> None:
    """Deletes a job's folder, if there is one."""
    if folder:
        shutil.rmtree(jobs_folder() / folder, ignore_errors=True)


def sweep_files() -> int:
    """Deletes folders that no unfinished or failed job needs, left behind by a process that was killed. How many."""
    place = jobs_folder()
    if not place.is_dir():
        return 0
    wanted = set(Job.objects.filter(state__in=[*Job.UNFINISHED, Job.State.FAILED]).exclude(folder="").values_list("folder", flat=True))
    old = [path for path in place.iterdir() if path.name not in wanted and time.time() - path.stat().st_mtime > ORPHAN_S]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)


def _write(source: IO[bytes], target: Path, room: int) -> int:
    size = 0
    with target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > room:
                raise Overloaded(
                    "The files that wait to be read take all the room there is (QA_JOBS_MAX_MB): try again when some are done.",
                    retry_after_s=60,
                )
            file.write(chunk)
    return size
