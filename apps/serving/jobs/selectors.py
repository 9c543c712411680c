"""Which jobs may a caller see?"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.panel import may_somewhere, within
from apps.accounts.permissions import Caller, Permission
from apps.serving.models import Job
from core.errors import Forbidden, NotAuthenticated, NotFound

ENDED_LATELY_S = 60
MAX_WATCHED = 200
SHOWN_AFTER_S = 600  # longer than the socket tells of a job that has ended, so that no page asks for one in vain
MAX_SHOWN = 20


def require_jobs(caller: Caller) -> None:
    """Raises NotAuthenticated or Forbidden for who may not read any knowledge base."""
    if may_somewhere(caller, Permission.READ):
        return
    if caller.anonymous:
        raise NotAuthenticated("This needs a key or a session: send `Authorization: Bearer KEY`, or sign in to the panel.")
    raise Forbidden("Your role may not see jobs.")


def jobs_for(caller: Caller) -> QuerySet[Job]:
    """The jobs of the knowledge bases that the caller may read, newest first; those of none for who may read all."""
    return within(Job.objects.select_related("kb"), caller, Permission.READ, "kb_id")


def job_for(pk: int, caller: Caller) -> Job:
    """The job, if the caller may see it. Raises NotFound."""
    job = jobs_for(caller).filter(pk=pk).first() if 0 < pk < 2**63 else None
    if job is None:
        raise NotFound(f"No job {pk}.")
    return job


def watched_jobs(caller: Caller) -> list[Job]:
    """What waits, runs or ended within the last minute."""
    lately = timezone.now() - timedelta(seconds=ENDED_LATELY_S)
    return list(jobs_for(caller).filter(Q(state__in=Job.UNFINISHED) | Q(finished_at__gte=lately))[:MAX_WATCHED])


def latest_jobs(caller: Caller, kinds: Collection[str], *, kb_id: int | None = None) -> list[Job]:
    """What waits or runs of these kinds, in one knowledge base or in any that the caller may edit, and what ended in the last minutes."""
    lately = timezone.now() - timedelta(seconds=SHOWN_AFTER_S)
    jobs = within(Job.objects.select_related("kb"), caller, Permission.EDIT, "kb_id").filter(kind__in=kinds, kb__isnull=False)
    found = jobs.filter(Q(state__in=Job.UNFINISHED) | Q(finished_at__gte=lately))
    return list((found.filter(kb_id=kb_id) if kb_id else found)[:MAX_SHOWN])
