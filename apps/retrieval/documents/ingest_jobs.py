"""How are documents read in the background? As a job that goes on where it was, with the same steps and report as the command."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, override

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.incoming import AnySource, Source
from apps.retrieval.documents.ingesting import ingest_pieces
from apps.retrieval.documents.ingestions import StoredRun, end_run
from apps.retrieval.documents.sources import files_below, sources_in
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.parsing.recognition import PagesDone
from apps.serving.jobs.files import remove_files, store_files
from apps.serving.jobs.kinds import JobCount, JobKind, JobReport, register_kind, stored_title
from apps.serving.jobs.run import CANCELLED, JobRun
from apps.serving.jobs.services import enqueue_job
from apps.serving.models import Job
from core.errors import Cancelled, InvalidRequest, QAError
from core.types import JSONDict

KIND = "ingest"
COUNTS = (
    ("created", gettext_lazy("new")),
    ("updated", gettext_lazy("changed")),
    ("unchanged", gettext_lazy("unchanged")),
    ("bad", gettext_lazy("unusable")),
    ("dropped", gettext_lazy("left out")),
    ("noted", gettext_lazy("noted")),
)
MAX_NAME_IN_TITLE = 150
FilesAndNames = Sequence[tuple[Path, str]]


def register_ingest_job() -> None:
    """Makes the kind known."""
    register_kind(
        JobKind(name=KIND, label=gettext_lazy("Reading documents"), work=work, report=report_of, title=title_of, ended=settle_report)
    )


def queue_files(kb: KnowledgeBase, files: Iterable[tuple[str, IO[bytes]]], caller: Caller) -> Job:
    """Keeps the files (name, content) and queues a job that reads them; they are deleted when it is done.

    Raises InvalidRequest where there is none or one has no usable name, Overloaded where there is no room, Forbidden.
    """
    caller.require(Permission.EDIT, kb.pk)
    folder, stored = store_files(files, kb=kb)
    try:
        if not stored:
            raise InvalidRequest("There is no file: send at least one as `files`.", field="files")
        payload: JSONDict = {"files": [name for name, _size in stored]}
        total = sum(size for _name, size in stored)
        return enqueue_job(KIND, kb=kb, caller=caller, title=english(_title, payload), payload=payload, total=total, folder=folder)
    except BaseException:
        remove_files(folder)
        raise


def queue_paths(kb: KnowledgeBase, paths: Sequence[Path], caller: Caller) -> Job:
    """Queues a job that reads files and folders where they lie; for whoever may read any file of the server.

    Raises InvalidRequest where there is no file, or a path is not UTF-8.
    """
    files = files_below(paths)
    if not files:
        raise InvalidRequest("There is no file in these folders.", field="paths")
    payload: JSONDict = {"paths": [_kept_path(path) for path in paths]}
    total = sum(path.stat().st_size for path, _name in files)
    return enqueue_job(KIND, kb=kb, caller=caller, title=english(_title, payload), payload=payload, total=total)


def _kept_path(path: Path) -> str:
    """The whole path as a job keeps it: as text, which a name of other bytes is not."""
    kept = str(path.resolve())
    try:
        kept.encode()
    except UnicodeEncodeError as error:
        message = f"The path {ascii(kept)} is not UTF-8, which a job needs: rename it, or ingest it without --background."
        raise InvalidRequest(message, field="paths") from error
    return kept


def work(run: JobRun) -> Generator[None, None, None]:
    """Reads what the job names, from the source on that the last checkpoint tells."""
    files = _files(run)
    position = run.position if run.position.get("files") == _signature(files) else {}
    growth = _Growth(sum(path.stat().st_size for path, _name in files), known=run.job.total if position else 0)
    yield from ingest_from(run, sources_in(files, grown=growth.add), growth, {**position, "files": _signature(files)})


class _Growth:
    """How much there is to read, in bytes: more once an archive is unpacked; at least what an earlier holder of the job knew of."""

    def __init__(self, size: int, known: int) -> None:
        self._size, self._known = size, known

    @property
    def total(self) -> int:
        return max(1, self._size, self._known)

    def add(self, size: int) -> None:
        self._size += size


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

    def told(source: Source, pages: PagesDone) -> None:
        run.show(f"recognising {pages.done}/{pages.of}", done=min(growth.total, at.done + source.size * pages.done // max(1, pages.of)))

    with transaction.atomic():
        stored = StoredRun(run.kb, caller, id=_number(run.result.get("ingestion")))
        checkpoint("reading")
    try:
        for _size in ingest_pieces(run.kb, sources, caller, stored.report, skip=at.sources, settled=settled, check=run.check, told=told):
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


def settle_report(job: Job) -> None:
    """Says in the report of a job that has ended why it did, where whoever worked on it could not: it keeps what was counted till then."""
    end_run(_number(job.result.get("ingestion")), CANCELLED if job.state == Job.State.CANCELLED else job.error)


def title_of(job: Job) -> str:
    """What is read, in the language that is active: its first name, and how many more there are."""
    return _title(job.payload) or stored_title(job)


def _files(run: JobRun) -> FilesAndNames:
    """The files of the job with their names. Raises InvalidRequest where they are no longer there."""
    payload: dict[str, Any] = dict(run.payload)
    if "paths" in payload:
        return files_below(Path(path) for path in payload["paths"])
    files = [(run.folder / str(number), str(name)) for number, name in enumerate(payload.get("files", []))]
    if not all(path.is_file() for path, _name in files):
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


def _title(payload: Mapping[str, Any]) -> str:
    """What the payload names, in the language that is active; empty where it names nothing."""
    files, paths = payload.get("files", []), payload.get("paths", [])
    if len(files) > 1:
        text = ngettext("%(name)s and %(more)s more file", "%(name)s and %(more)s more files", len(files) - 1)
        return text % {"name": shortened(files[0]), "more": len(files) - 1}
    if len(paths) > 1:  # files and folders
        return _("%(name)s and %(more)s more") % {"name": shortened(Path(paths[0]).name), "more": len(paths) - 1}
    return shortened("".join(files or [Path(path).name for path in paths]))


def english(title: Callable[[JSONDict], str], payload: JSONDict) -> str:
    """The title as it is stored, for programs and logs."""
    with override("en"):
        return title(payload)


def shortened(name: str) -> str:
    """A name that leaves room in a title for how many more there are."""
    return name if len(name) <= MAX_NAME_IN_TITLE else f"{name[: MAX_NAME_IN_TITLE - 1]}…"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
