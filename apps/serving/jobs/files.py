"""Where do the files of jobs lie until they are done with? Each job has a folder of its own below the data folder."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from apps.serving.models import Job
from core.config import get_settings
from core.errors import InvalidRequest, Overloaded, PayloadTooLarge
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


def store_files(files: Iterable[tuple[str, IO[bytes]]], *, kb: Any) -> tuple[str, list[tuple[str, int]]]:
    """Writes the files to a new folder: its name, and the name and size in bytes of each file, which lies there as its number.

    They count for `kb` (a KnowledgeBase). Raises PayloadTooLarge, before anything is written, for more than a base could ever have
    waiting; Overloaded where its share of the room is taken; InvalidRequest for a name that cannot be used, or too many files.
    """
    files = list(files)
    _require_possible(sum(_length(source) for _name, source in files))
    folder, share = f"{kb.pk}-{secrets.token_hex(12)}", share_of(kb)
    place, stored = jobs_folder() / folder, list[tuple[str, int]]()
    place.mkdir(parents=True, mode=0o700)
    try:
        room = share.most - share.taken
        for number, (name, source) in enumerate(files):
            if number >= MAX_FILES:
                raise InvalidRequest(f"A job takes at most {MAX_FILES} files: send a zip archive, or several jobs.", field="files")
            size = _write(source, place / str(number), room)
            if size > room:
                raise share.refusal()
            room -= size
            stored.append((usable_name(name), size))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return folder, stored


@dataclass(frozen=True, slots=True)
class Share:
    """How many bytes of files a knowledge base may have waiting, and how many it has."""

    most: int
    taken: int

    def refusal(self) -> Overloaded:
        """Why more cannot be taken now, and what to do."""
        most, taken = (_in_mib(size) for size in (self.most, self.taken))
        return Overloaded(
            f"The files of this knowledge base that wait to be read may take {most} MiB, half of what others leave of QA_JOBS_MAX_MB, and take "
            f"{taken} MiB by now. Try again when jobs are done, cancel jobs that are not needed, or send less at once.",
            retry_after_s=60,
        )


def share_of(kb: Any) -> Share:
    """The share of a knowledge base: half of the room that the files of others leave, so that none can take all of it."""
    sizes = stored_bytes()
    taken = sizes.pop(str(kb.pk), 0)
    others = sum(sizes.values())
    return Share(most=max(0, _room() - others) // 2, taken=taken)


def _require_possible(size: int) -> None:
    """Raises PayloadTooLarge for more bytes than a base may have waiting while nothing else waits."""
    most = _room() // 2
    if size > most:
        raise PayloadTooLarge(f"It is more than {_in_mib(most)} MiB, half of QA_JOBS_MAX_MB: send it in parts.", limit=most)


def _room() -> int:
    return get_settings().jobs_max_mb * 2**20


def _length(source: IO[bytes]) -> int:
    """How many bytes are left to read."""
    at = source.tell()
    end = source.seek(0, os.SEEK_END)
    source.seek(at)
    return end - at


def _in_mib(size: int) -> str:
    return f"{round(size / 2**20, 1):g}"


def usable_name(name: str) -> str:
    """The name without folders, as documents are named by it. Raises InvalidRequest."""
    cleaned = clean_text(PurePosixPath(name.replace("\\", "/")).name).strip()
    if not cleaned or cleaned.startswith(".") or len(cleaned) > MAX_NAME_CHARS:
        raise InvalidRequest(f"A file needs a name of 1 to {MAX_NAME_CHARS} characters that does not begin with a dot.", field="files")
    return cleaned


def stored_bytes() -> Counter[str]:
    """How much the files of all jobs take, by the primary key of their knowledge base, with which the name of each folder begins."""
    place, sizes = jobs_folder(), Counter[str]()
    for folder in place.iterdir() if place.is_dir() else ():
        sizes[folder.name.partition("-")[0]] += sum(_size(Path(root, name)) for root, _folders, names in os.walk(folder) for name in names)
    return sizes


def _size(path: Path) -> int:
    """0 where the file's job has ended since the folder was listed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


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
    old = [path for path in place.iterdir() if path.name not in wanted and _is_old(path)]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)


def _is_old(path: Path) -> bool:
    """Not where it is gone by now, as that of a job that has just ended."""
    try:
        return time.time() - path.stat().st_mtime > ORPHAN_S
    except FileNotFoundError:
        return False


def _write(source: IO[bytes], target: Path, room: int) -> int:
    """How many bytes were written; what takes more than the room is not written to its end."""
    size = 0
    with target.open("xb") as file:
        while size <= room and (chunk := source.read(_CHUNK)):
            size += len(chunk)
            file.write(chunk)
    return size
