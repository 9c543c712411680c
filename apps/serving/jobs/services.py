"""What can be done to jobs: queue one, cancel it, try a failed one again."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.accounts.audit import record
from apps.accounts.permissions import Caller
from apps.serving.jobs import leases
from apps.serving.jobs.files import remove_files
from apps.serving.jobs.kinds import JobKind, kind_named
from apps.serving.jobs.news import tell_change, wake_runner
from apps.serving.models import Job
from core.errors import Forbidden, InvalidRequest, Overloaded
from core.types import JSONDict

MAX_WAITING = 1000
KEPT_A_LINE = 200


def enqueue_job(
    kind: str, *, kb: Any, caller: Caller, title: str, payload: JSONDict | None = None, total: int = 0, folder: str = ""
) -> Job:
    """Queues a job of a kind that is registered. `kb` (a KnowledgeBase) is None for what concerns no single one.

    `total` is the work in any unit, as far as it is known by now; `folder` what `store_files` gave. Raises Forbidden where the
    caller may not, Overloaded where too much waits already.
    """
    known = kind_named(kind)
    _require(caller, known, kb.pk if kb is not None else None)
    line = _line(known, kb.pk if kb is not None else None)
    if Job.objects.filter(line=line, state__in=Job.UNFINISHED).count() >= MAX_WAITING:
        raise Overloaded(f"{MAX_WAITING} jobs wait already: try again when some are done.", retry_after_s=60)
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind, kb=kb, line=line, title=title[:200], actor=caller.name, payload=payload or {}, total=total, folder=folder
        )
        record(caller, "enqueue_job", target=f"{kind} {job.pk}", kb=kb.slug if kb is not None else "", details={"title": job.title})
    _forget_old(line)
    wake_runner()
    tell_change(job)
    return job


def cancel_job(job: Job, caller: Caller) -> Job:
    """Ends a job that waits at once, one that runs within a slice of work. What is done stays.

    A failed one is given up: the files that it kept for another try go. One that has ended otherwise stays as it is.
    """
    kind = kind_named(job.kind)
    _require(caller, kind, job.kb_id)
    with transaction.atomic():
        ended = leases.end_unheld(job.pk, Job.State("cancelled")) or _give_up(job)
        if ended or Job.objects.filter(pk=job.pk, state__in=Job.UNFINISHED).update(cancel_requested=True):
            record(caller, "cancel_job", target=f"{job.kind} {job.pk}", kb=job.kb.slug if job.kb else "")
        job.refresh_from_db()
        if ended:
            kind.ended(job)
    if ended:
        remove_files(job.folder)
    wake_runner()
    tell_change(job)
    return job


def retry_job(job: Job, caller: Caller) -> Job:
    """Queues a failed job again: it goes on where it ended, with the rights of whoever retries it. Raises InvalidRequest for any other."""
    _require(caller, kind_named(job.kind), job.kb_id)
    with transaction.atomic():
        again = Job.objects.filter(pk=job.pk, state=Job.State.FAILED).update(
            state=Job.State.QUEUED, actor=caller.name, error="", attempts=0, not_before=None, finished_at=None, cancel_requested=False
        )
        if not again:
            raise InvalidRequest("Only a failed job can be tried again.", state=Job.objects.get(pk=job.pk).state)
        record(caller, "retry_job", target=f"{job.kind} {job.pk}", kb=job.kb.slug if job.kb else "")
    job.refresh_from_db()
    wake_runner()
    tell_change(job)
    return job


def may_change(job: Job, caller: Caller) -> bool:
    """Whether the caller may cancel and retry the job."""
    return caller.may(kind_named(job.kind).permission, job.kb_id)


def _give_up(job: Job) -> bool:
    """Ends the hope for a failed job."""
    return bool(Job.objects.filter(pk=job.pk, state=Job.State.FAILED).update(state=Job.State.CANCELLED, cancel_requested=True))


def _line(kind: JobKind, kb_id: int | None) -> str:
    """What the job waits in: the line of its knowledge base, one of its kind there, or that of its kind."""
    if kb_id is None:
        return f"kind:{kind.name}"
    return f"kb:{kb_id}:{kind.name}" if kind.has_own_line else f"kb:{kb_id}"


def _require(caller: Caller, kind: JobKind, kb_id: int | None) -> None:
    if kb_id is not None:
        caller.require(kind.permission, kb_id)
    elif not caller.may(kind.permission):
        raise Forbidden(
            f"Your role may not {kind.permission.value} everywhere, as this kind of job needs.", permission=kind.permission.value
        )


def _forget_old(line: str) -> None:
    """Deletes the oldest ended jobs of a line, and the files that failed ones kept for another try."""
    ended = Job.objects.filter(line=line).exclude(state__in=Job.UNFINISHED).order_by("-pk")
    for pk, folder in ended.values_list("pk", "folder")[KEPT_A_LINE:]:
        if Job.objects.filter(pk=pk).exclude(state__in=Job.UNFINISHED).delete()[0]:
            remove_files(folder)
