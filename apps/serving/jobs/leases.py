"""Who works on which job? Whoever has claimed it in the database, for as long as it says so every few seconds.

A claim is one conditional UPDATE, which PostgreSQL and SQLite make atomic alike, and a unique constraint keeps a line to one
lease. `lease_token` fences: what a process writes that was believed dead meets no row (Kleppmann, "How to do distributed
locking", 2016).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Min, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.serving.jobs.run import LEASE_S
from apps.serving.models import Job

MAX_ATTEMPTS = 5
_NEVER = datetime.min.replace(tzinfo=UTC)


def new_owner() -> str:
    """A name for a runner that none had before: host, process, a random part of the process, a random part of its own."""
    return f"{_this_process()}:{secrets.token_hex(4)}"


def next_claimable(kinds: Sequence[str]) -> Job | None:
    """The job whose line has waited longest since it was last worked on, of those that nobody holds; None where there is none."""
    now = timezone.now()
    heads = Job.objects.filter(state__in=Job.UNFINISHED).order_by().values("line").annotate(first=Min("pk")).values("first")
    ready = Q(not_before=None) | Q(not_before__lte=now)
    found = list(Job.objects.filter(_free(now), ready, pk__in=list(heads.values_list("first", flat=True)), kind__in=kinds).order_by("pk"))
    if not found:
        return None
    served = served_lines([job.line for job in found])
    return min(found, key=lambda job: (served.get(job.line, _NEVER), job.pk))


def served_lines(lines: Collection[str]) -> dict[str, datetime]:
    """When each line was last worked on; a line that never was is not there."""
    rows = Job.objects.filter(line__in=lines, served_at__isnull=False).order_by().values("line").annotate(last=Max("served_at"))
    return {row["line"]: row["last"] for row in rows}


def served_before(job: Job, moment: datetime) -> bool:
    """Whether the job's line was last worked on before that moment, or never."""
    return served_lines([job.line]).get(job.line, _NEVER) < moment


def claim(job: Job, owner: str) -> bool:
    """Takes the lease of a job as it was read; False where somebody was faster. `job` is as it is stored afterwards."""
    now = timezone.now()
    unchanged = Job.objects.filter(_free(now), pk=job.pk, lease_token=job.lease_token, state__in=Job.UNFINISHED)
    try:
        with transaction.atomic():
            taken = unchanged.update(
                lease_owner=owner,
                lease_token=F("lease_token") + 1,
                lease_until=now + timedelta(seconds=LEASE_S),
                state=Job.State.RUNNING,
                started_at=Coalesce(F("started_at"), now),
                attempts=F("attempts") + 1,
                served_at=now,
            )
    except IntegrityError:  # another job of the line was claimed in the same moment
        return False
    if taken:
        job.refresh_from_db()
    return bool(taken)


def renew(owner: str, pks: Collection[int]) -> dict[int, bool]:
    """Keeps the leases of these jobs for another while: pk → whether it was cancelled, for those that are still held."""
    with transaction.atomic():
        mine = Job.objects.filter(lease_owner=owner, pk__in=pks)
        mine.update(lease_until=timezone.now() + timedelta(seconds=LEASE_S))
    return dict(mine.order_by().values_list("pk", "cancel_requested"))


def give_back(pk: int, owner: str, token: int) -> bool:
    """Lets go of a job that is not finished; whoever claims it goes on at its last checkpoint."""
    return _end_lease(pk, owner, token, attempts=0)


def put_off(pk: int, owner: str, token: int, *, seconds: float, error: str) -> bool:
    """Lets go of a job that cannot go on now, to be tried again later."""
    return _end_lease(pk, owner, token, not_before=timezone.now() + timedelta(seconds=seconds), error=error)


def finish(pk: int, owner: str, token: int, state: Job.State, *, error: str = "") -> bool:
    """Ends a job; False where somebody else has it by now."""
    return _end_lease(pk, owner, token, state=state, error=error, finished_at=timezone.now())


def end_unheld(pk: int, state: Job.State) -> bool:
    """Ends a job that nobody holds, or whose holder let its lease run out; False where somebody works on it, or it has ended."""
    now = timezone.now()
    with transaction.atomic():
        free = Job.objects.filter(_free(now), pk=pk, state__in=Job.UNFINISHED)
        return bool(
            free.update(
                lease_owner="", lease_until=None, lease_token=F("lease_token") + 1, state=state, cancel_requested=True, finished_at=now
            )
        )


def release_dead() -> int:
    """Ends the leases of processes of this machine that no longer exist, so that nobody waits for them to run out. How many."""
    held = Job.objects.filter(lease_owner__startswith=f"{_host()}:").order_by().values_list("lease_owner", flat=True).distinct()
    dead = [owner for owner in held if not _is_alive(owner)]
    with transaction.atomic():
        return Job.objects.filter(lease_owner__in=dead).update(lease_owner="", lease_until=None)


def _free(now: datetime) -> Q:
    return Q(lease_owner="") | Q(lease_until__lt=now)


def _end_lease(pk: int, owner: str, token: int, **changes: object) -> bool:
    with transaction.atomic():
        mine = Job.objects.filter(pk=pk, lease_owner=owner, lease_token=token)
        return bool(mine.update(lease_owner="", lease_until=None, served_at=timezone.now(), **changes))


def _is_alive(owner: str) -> bool:
    """Whether the process that this owner was is there. A container's first process has the same number after each start."""
    pid = int(owner.split(":")[1])
    if pid == os.getpid():
        return owner.startswith(f"{_this_process()}:")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _this_process() -> str:
    return _process_name(os.getpid())


@lru_cache(maxsize=2)
def _process_name(pid: int) -> str:
    return f"{_host()}:{pid}:{secrets.token_hex(4)}"


def _host() -> str:
    return socket.gethostname().replace(":", "-")[:80]
