"""How far is a job, and how long will it take? From how fast it went in the last minutes, whichever process did the work."""

from __future__ import annotations

import time
from collections.abc import Sequence

from apps.serving.models import Job
from core.types import JSONDict

MIN_SECONDS = 3.0


def percent_done(job: Job) -> float:
    """0 to 100; 100 for a job that has ended well, whatever was counted."""
    if job.state == Job.State.DONE:
        return 100.0
    return round(min(99.9, 100.0 * job.done / job.total), 1) if job.total > 0 else 0.0


def seconds_left(job: Job, now: float | None = None) -> int | None:
    """How long a running job will take from now on; None while that cannot be told, and for one that ends before its time."""
    if job.state != Job.State.RUNNING or job.cancel_requested or not job.samples or job.total <= 0:
        return None
    began, done_then = job.samples[0]
    seconds = (time.time() if now is None else now) - began
    if seconds < MIN_SECONDS or job.done <= done_then:
        return None
    return round((job.total - job.done) * seconds / (job.done - done_then))


def jobs_ahead(jobs: Sequence[Job]) -> dict[int, int]:
    """How many jobs of the same line come before each of these that wait, by primary key; one query for all."""
    waiting = [job for job in jobs if job.state == Job.State.QUEUED]
    if not waiting:
        return {}
    rows = Job.objects.filter(line__in={job.line for job in waiting}, state__in=Job.UNFINISHED).order_by().values_list("line", "pk")
    unfinished = list(rows)
    return {job.pk: sum(line == job.line and pk < job.pk for line, pk in unfinished) for job in waiting}


def as_dict(job: Job, *, ahead: int = 0) -> JSONDict:
    """The job as the API and the socket give it."""
    return {
        "id": job.pk,
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "cancelling": job.cancel_requested and job.state in Job.UNFINISHED,
        "step": job.step,
        "done": job.done,
        "total": job.total,
        "percent": percent_done(job),
        "eta_s": seconds_left(job),
        "ahead": ahead,
        "actor": job.actor,
        "error": job.error,
        "result": job.result,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
