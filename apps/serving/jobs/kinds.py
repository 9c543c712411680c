"""Which kinds of jobs are there? Each app registers its own: a name, and the function that does the work."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise

from apps.accounts.permissions import Permission
from apps.serving.jobs.run import JobRun
from apps.serving.models import Job
from core.errors import InvalidRequest

Work = Callable[[JobRun], Generator[None, None, None]]


@dataclass(frozen=True, slots=True)
class JobCount:
    """How many of something a job came to: its name in `Job.result`, what people call it, and the number."""

    name: str
    label: str | Promise
    value: int


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a job came to so far, and the panel's page that tells the whole of it."""

    counts: Sequence[JobCount] = ()
    url: str = ""


def no_report(job: Job) -> JobReport:
    """The report of a kind that has none."""
    return JobReport()


def stored_title(job: Job) -> str:
    """What the job was called when it was queued."""
    return str(job)


def nothing_left(job: Job) -> None:
    """The end of a job of a kind that keeps nothing beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobKind:
    """A kind of job.

    `work` is a generator that goes on from `run.position`. It calls `run.checkpoint(…)` after each piece, in the transaction that
    writes the piece, and yields after it, outside any transaction: there it may rest while others have their turn and go on in another
    thread, or meet Cancelled, Stopping or LeaseLost. Pieces of about a second keep the turns fair. What raises QAError fails the job; where the error says that a retry can help, it is tried
    again later. A kind that changes no content `has_own_line`: its jobs do not wait for those that do.
    One that `waits_for_others`, such as slow web sites, never has all threads of a process. `permission` is what queueing,
    cancelling and retrying takes in the job's knowledge base. `title` is what people call the job, in the language that is active;
    `amount` tells people how far it is, with `%(done)s` and `%(total)s` in it, where the unit of its work says something to them.
    `ended` is called in the transaction that ends a job, however that comes: also of one that no process holds.
    """

    name: str
    label: str | Promise
    work: Work
    permission: Permission = Permission.EDIT
    has_own_line: bool = False
    waits_for_others: bool = False
    report: Callable[[Job], JobReport] = no_report
    title: Callable[[Job], str] = stored_title
    amount: str | Promise = ""
    ended: Callable[[Job], None] = nothing_left


_kinds: dict[str, JobKind] = {}


def register_kind(kind: JobKind) -> None:
    """Makes a kind known to this process; to be called when its app is ready."""
    _kinds[kind.name] = kind


def kind_named(name: str) -> JobKind:
    """The kind of this name. Raises InvalidRequest where no app has it."""
    if name not in _kinds:
        raise InvalidRequest(f"There is no kind of job {name!r}. There are: {', '.join(sorted(_kinds))}.", kind=name[:40])
    return _kinds[name]


def title_of(job: Job) -> str:
    """What people call the job, in the language that is active."""
    return _kinds[job.kind].title(job) if job.kind in _kinds else stored_title(job)


def known_kinds(*, patient: bool = True) -> list[str]:
    """The names of all kinds that this process can work on; where it is not to be `patient`, without those that wait for others."""
    return sorted(name for name, kind in _kinds.items() if patient or not kind.waits_for_others)
