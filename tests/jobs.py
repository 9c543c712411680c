"""A kind of job for tests: it counts to a number, a checkpoint each, and says on the way what happens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.retrieval.models import KnowledgeBase
from apps.serving.jobs.kinds import JobKind, register_kind
from apps.serving.jobs.run import JobRun
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job

COUNTING = "counting"


class Counting:
    """Counts `payload["to"]` steps; `seen` are all steps that were committed, as (title, step)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.on_step: Callable[[JobRun, int], None] = lambda run, step: None
        register_kind(JobKind(name=COUNTING, label="Counting", work=self.work))

    def work(self, run: JobRun) -> Generator[None, None, None]:
        for step in range(int(str(run.position.get("next", 0))), int(str(run.payload["to"]))):
            self.on_step(run, step)
            with transaction.atomic():
                run.checkpoint({"next": step + 1}, done=step + 1, step="count")
            self.seen.append((run.job.title, step))
            yield


def runner(**more: float) -> JobRunner:
    """One that gives a job's turn to the next after every step."""
    return JobRunner(0, **{"slice_s": 0.0, **more})


def queued(kb: KnowledgeBase | None, title: str, to: int = 3, **more: object) -> Job:
    """A job that waits, as if it had been queued by an administrator."""
    line = f"kb:{kb.pk}" if kb else "kind:counting"
    return Job.objects.create(kind=COUNTING, kb=kb, line=line, title=title, actor="command:test", payload={"to": to}, total=to, **more)


def run_to_the_end(runner: JobRunner, most: int = 1000) -> None:
    """Turns until nothing is left to do."""
    while runner.run_one_slice():
        most -= 1
        assert most, "the jobs do not end"


def age_leases(seconds: float = 60.0) -> None:
    """As if that much time had passed since the leases were renewed."""
    Job.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=seconds))
