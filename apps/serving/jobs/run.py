"""What does a kind of job see of its job while it works? Where to go on, whose rights it has, and how to say how far it is."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from apps.accounts.callers import caller_named
from apps.accounts.permissions import Caller
from apps.serving.jobs.files import folder_of
from apps.serving.models import Job
from core.errors import Cancelled
from core.types import JSONDict

CANCELLED = "The job was cancelled."
LEASE_S = 30.0
SAMPLE_S, SAMPLES_KEPT = 10.0, 18  # three minutes


class LeaseLost(Exception):
    """Another process has taken the job over, or it is gone: nothing may be written for it here."""


class Stopping(Exception):
    """The process ends: the job is given back where its last checkpoint is."""


class JobRun:
    """One holding of a job's lease. `position` and `result` are those of the last checkpoint, by whichever process."""

    def __init__(self, job: Job, owner: str) -> None:
        self.job, self.owner, self.token = job, owner, job.lease_token
        self.position: JSONDict = dict(job.position)
        self.result: JSONDict = dict(job.result)
        self.cancelled, self.stopping, self.lost = threading.Event(), threading.Event(), threading.Event()

    @property
    def kb(self) -> Any:
        """The job's knowledge base, None where it concerns none."""
        return self.job.kb

    @property
    def payload(self) -> JSONDict:
        """What was queued."""
        return dict(self.job.payload)

    @property
    def folder(self) -> Path:
        """Where the job's own files lie."""
        return folder_of(self.job)

    @property
    def caller(self) -> Caller:
        """Whoever queued it, with the rights of this moment. Raises Forbidden where that person or key is gone."""
        return caller_named(self.job.actor)

    def check(self) -> None:
        """To be called now and then during long work. Raises Cancelled, Stopping or LeaseLost where it should end at once."""
        if self.lost.is_set():
            raise LeaseLost
        if self.cancelled.is_set():
            raise Cancelled(CANCELLED)
        if self.stopping.is_set():
            raise Stopping

    def checkpoint(
        self, position: JSONDict, *, done: int, total: int | None = None, step: str = "", result: JSONDict | None = None
    ) -> None:
        """Writes how far the job is; call it in the transaction that writes what was done, and both are there or neither is.

        `done` of `total` is in any unit that grows steadily. Raises LeaseLost where somebody else has the job by now.
        """
        now, job = timezone.now(), self.job
        job.done, job.total = done, max(done, job.total if total is None else total)
        job.attempts = 0 if position != self.position else job.attempts
        job.position, job.step = position, step
        job.result = self.result if result is None else result
        job.samples = _with_sample(job.samples, job.done)
        changed = {name: getattr(job, name) for name in ("done", "total", "position", "step", "attempts", "result", "samples")}
        mine = Job.objects.filter(pk=job.pk, lease_owner=self.owner, lease_token=self.token)
        if not mine.update(**changed, served_at=now, lease_until=now + timedelta(seconds=LEASE_S)):
            self.lost.set()
            raise LeaseLost
        self.position, self.result = dict(position), dict(job.result)

    def show(self, step: str, *, done: int) -> None:
        """Writes how far it is between two checkpoints, for whoever looks; whoever takes the job over goes on at the last checkpoint.

        Raises LeaseLost as `checkpoint` does.
        """
        job = self.job
        job.step, job.done, job.samples = step, max(done, job.done), _with_sample(job.samples, max(done, job.done))
        mine = Job.objects.filter(pk=job.pk, lease_owner=self.owner, lease_token=self.token)
        if not mine.update(step=job.step, done=job.done, samples=job.samples, served_at=timezone.now()):
            self.lost.set()
            raise LeaseLost


def _with_sample(samples: list[list[float]], done: int) -> list[list[float]]:
    """The samples of the last minutes, with one more where the last one is old enough."""
    now = round(time.time(), 1)
    if samples and now - samples[-1][0] < SAMPLE_S:
        return samples
    return [*samples, [now, done]][-SAMPLES_KEPT:]
