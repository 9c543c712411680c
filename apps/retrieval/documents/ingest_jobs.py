"""How are documents read in the background? As a job that goes on where it was, with the same steps and report as the command."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.incoming import AnySource
from apps.retrieval.documents.ingesting import ingest_pieces
from apps.retrieval.documents.ingestions import StoredRun
from apps.retrieval.documents.sources import files_below, sources_in
from apps.retrieval.models import KnowledgeBase
from apps.serving.jobs.files import remove_files, store_files
from apps.serving.jobs.kinds import JobCount, JobKind, JobReport, register_kind
from apps.serving.jobs.run import JobRun
from apps.serving.jobs.services import enqueue_job
from apps.serving.models import Job
from core.errors import Cancelled, InvalidRequest, QAError
from core.types import JSONDict

KIND = "ingest"
COUNTS = (
    ("created", _("new")),
    ("updated", _("changed")),
    ("unchanged", _("unchanged")),
    ("bad", _("unusable")),
    ("dropped", _("left out")),
    ("noted", _("noted")),
)
FilesAndNames = Sequence[tuple[Path, str]]


def register_ingest_job() -> None:
    """Makes the kind known."""
    register_kind(JobKind(name=KIND, label=_("Reading documents"), work=work, report=report_of))


def queue_files(kb: KnowledgeBase, files: Iterable[tuple[str, IO[bytes]]], caller: Caller) -> Job:
    """Keeps the files (name, content) and queues a job that reads them; they are deleted when it is done.

    Raises InvalidRequest where there is none or one has no usable name, Overloaded where there is no room, Forbidden.
    """
    caller.require(Permission.EDIT, kb.pk)
    folder, stored = store_files(files)
    try:
        if not stored:
            raise InvalidRequest("There is no file: send at least one as `files`.", field="files")
        payload: JSONDict = {"files": [name for name, _ in stored]}
        total = sum(size for _, size in stored)
        return enqueue_job(
            KIND, kb=kb, caller=caller, title=_title([name for name, _ in stored]), payload=payload, total=total, folder=folder
        )
    except BaseException:
        remove_files(folder)
        raise


def queue_paths(kb: KnowledgeBase, paths: Sequence[Path], caller: Caller) -> Job:
    """Queues a job that reads files and folders where they lie; for whoever may read any file of the server."""
    files = files_below(paths)
    if not files:
        raise InvalidRequest("There is no file in these folders.", field="paths")
    payload: JSONDict = {"paths": [str(path.resolve()) for path in paths]}
    total = sum(path.stat().st_size for path, _ in files)
    return enqueue_job(KIND, kb=kb, caller=caller, title=_title([path.name for path in paths]), payload=payload, total=total)


def work(run: JobRun) -> Generator[None, None, None]:
    """Reads what the job names, from the source on that the last checkpoint tells."""
    files = _files(run)
    position = run.position if run.position.get("files") == _signature(files) else {}
    growth = _Growth(sum(path.stat().st_size for path, _ in files))
    yield from ingest_from(run, sources_in(files, grown=growth.add), growth, {**position, "files": _signature(files)})


class _Growth:
    """How much there is to read, in bytes: more once an archive is unpacked."""

    def __init__(self, total: int) -> None:
        self.total = total

    def add(self, size: int) -> None:
        self.total = max(1, self.total + size)


def ingest_from(run: JobRun, sources: Iterable[AnySource], growth: _Growth, position: JSONDict) -> Generator[None, None, None]:
    """Ingests sources for a job and yields at each checkpoint; `position["sources"]` of them are settled already."""
    caller = run.caller
    at = _Place(_number(position.get("sources")), _number(position.get("done")))

    def checkpoint(step: str) -> None:
        stored.write()
        run.checkpoint(
            {**position, "sources": at.sources, "done": at.done},
            done=min(at.done, growth.total),
            total=growth.total,
            step=step,
            result=result_of(stored),
        )

    def settled(sources: int, size: int) -> None:
        at.sources, at.done = at.sources + sources, at.done + size
        checkpoint("reading")

    with transaction.atomic():
        stored = StoredRun(run.kb, caller, id=_number(run.result.get("ingestion")))
        checkpoint("reading")
    try:
        for _size in ingest_pieces(run.kb, sources, caller, stored.report, skip=at.sources, settled=settled, check=run.check):
            yield
    except QAError as error:
        if not error.retryable or isinstance(error, Cancelled):
            stored.finish(error.message)
        raise
    stored.finish()
    at.done = growth.total
    checkpoint("finished")


class _Place:
    """How many sources are settled, and their size in bytes."""

    def __init__(self, sources: int, done: int) -> None:
        self.sources, self.done = sources, done


def report_of(job: Job) -> JobReport:
    """What an ingestion came to, as far as its job tells, and the page of its report."""
    id = _number(job.result.get("ingestion"))
    if not id:
        return JobReport()
    counts = [JobCount(name, label, _number(job.result.get(name))) for name, label in COUNTS]
    return JobReport(counts=counts, url=reverse("admin:retrieval_ingestion_change", args=[id]))


def _files(run: JobRun) -> FilesAndNames:
    """The files of the job with their names. Raises InvalidRequest where they are no longer there."""
    payload: dict[str, Any] = dict(run.payload)
    if "paths" in payload:
        return files_below(Path(path) for path in payload["paths"])
    files = [(run.folder / str(number), str(name)) for number, name in enumerate(payload.get("files", []))]
    if not all(path.is_file() for path, _ in files):
        raise InvalidRequest("The files of this job are no longer here: send them again.")
    return files


def _signature(files: FilesAndNames) -> str:
    """Tells whether the files are still those that a position was counted in."""
    found = [(name, status.st_size, status.st_mtime_ns) for path, name in files for status in [path.stat()]]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:32]


def result_of(stored: StoredRun) -> JSONDict:
    """What a job's result says of its ingestion."""
    report = stored.report
    return {
        "ingestion": stored.id,
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "bad": report.bad_count,
        "dropped": report.dropped_count,
        "noted": report.noted_count,
    }


def _title(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} + {len(names) - 1}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
