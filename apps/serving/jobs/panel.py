"""The panel's page of jobs: how far each is and how long it will take, with buttons to cancel it or to try it again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Case, Count, QuerySet, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.panel import actor_names, caller_of, may_somewhere
from apps.accounts.permissions import Permission
from apps.accounts.refusals import in_words
from apps.serving.jobs.kinds import JobReport, kind_named, known_kinds, title_of
from apps.serving.jobs.progress import jobs_ahead, percent_done, seconds_left
from apps.serving.jobs.selectors import job_for, jobs_for
from apps.serving.jobs.services import cancel_job, may_change, retry_job
from apps.serving.models import Job
from core.errors import NotFound, QAError

JOBS_A_PAGE = 25
LOOK_S = 5
COLOURS = {"queued": "info", "running": "info", "done": "success", "failed": "danger", "cancelled": "warning"}
_SLUG = re.compile(r"[-\w]{1,80}")
_UNFINISHED_FIRST = Case(When(state="running", then=0), When(state="queued", then=1), default=2)
STEPS = {
    "reading": gettext_lazy("reading"),
    "listing": gettext_lazy("listing"),
    "asking": gettext_lazy("asking"),
    "finished": gettext_lazy("finished"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """A job as the page shows it."""

    job: Job
    title: str
    kind: str
    who: str
    colour: str
    cancelling: bool
    state: str
    step: str
    percent: float
    amount: str
    left: str
    error: str
    report: JobReport
    may_cancel: bool
    may_retry: bool

    @property
    def amount_now(self) -> str:
        """How much is done of how much."""
        return self.amount % {"done": self.job.done, "total": self.job.total}


def may_see_jobs(request: HttpRequest) -> bool:
    """Whether the reader may read any knowledge base."""
    return may_somewhere(caller_of(request), Permission.READ)


def jobs_page(request: HttpRequest) -> HttpResponse:
    """The page; with `?part=1` only its list, for the page that renews itself. POST cancels a job or tries it again."""
    if not may_see_jobs(request):
        raise PermissionDenied
    if request.method == "POST":
        _change(request)
        return HttpResponseRedirect(_way_back(request))
    context = _shown(request)
    if wants_part(request):
        return render(request, "admin/serving/jobs_part.html", context)
    return render(request, "admin/serving/jobs.html", {**admin.site.each_context(request), "title": _("Jobs"), **context})


def wants_part(request: HttpRequest) -> bool:
    """Whether an open page asks for what changes on it alone: it renews itself."""
    return request.method == "GET" and "part" in request.GET


def live_jobs(request: HttpRequest, jobs: Iterable[Job]) -> dict[str, Any]:
    """What a page needs that shows these jobs by `admin/serving/job_rows.html` and moves them by `panel/jobs.js`.

    Its buttons lead back to it. The page answers `wants_part` with what stands within its `data-part`.
    """
    query = request.GET.copy()
    query.pop("part", None)
    return {
        "job_rows": _rows(request, list(jobs)),
        "jobs_back": f"{request.path}?{query.urlencode()}" if query else request.path,
        "look_ms": LOOK_S * 1000,
        "words": {"seconds": _("about %(count)s s left"), "minutes": _("about %(count)s min left")},
    }


def _way_back(request: HttpRequest) -> str:
    """The page of the panel on which the button stood."""
    wanted = request.POST.get("back", "")
    is_ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_ours else request.get_full_path()


def _change(request: HttpRequest) -> None:
    pk = request.POST.get("job", "")
    try:
        job = job_for(int(pk) if pk.isdecimal() and len(pk) < 19 else 0, caller_of(request))
    except NotFound as error:
        raise Http404 from error
    try:
        if request.POST.get("do") == "retry":
            retry_job(job, caller_of(request))
            messages.success(request, _("“%(job)s” waits for its next try.") % {"job": title_of(job)})
        else:
            ended = cancel_job(job, caller_of(request)).state == Job.State.CANCELLED
            text = _("“%(job)s” is cancelled.") if ended else _("“%(job)s” ends within seconds.")
            messages.success(request, text % {"job": title_of(job)})
    except QAError as error:
        messages.error(request, in_words(error.message))


def _shown(request: HttpRequest) -> dict[str, Any]:
    mine = jobs_for(caller_of(request))
    slug = request.GET.get("kb", "")
    slug = slug if _SLUG.fullmatch(slug) else ""
    within_kb = mine.filter(kb__slug=slug) if slug else mine
    state = request.GET.get("state", "")
    state = state if state in Job.State.values else ""
    chosen = (within_kb.filter(state=state) if state else within_kb).order_by(_UNFINISHED_FIRST, "-pk")
    page = Paginator(chosen, JOBS_A_PAGE).get_page(request.GET.get("page", "1"))
    bases = mine.exclude(kb=None).order_by("kb__name").values_list("kb__slug", "kb__name").distinct()
    return {
        **live_jobs(request, page),
        "page": page,
        "tabs": _tabs(within_kb, state, slug),
        "bases": [("", _("All knowledge bases"), not slug), *((one, name, one == slug) for one, name in bases)],
    }


def _tabs(jobs: QuerySet[Job], state: str, slug: str) -> list[dict[str, object]]:
    """One tab a state with how many are in it; those that are empty are left out."""
    counts = dict(jobs.order_by().values_list("state").annotate(Count("pk")))
    labels = [("", _("All"), sum(counts.values())), *((one.value, str(one.label), counts.get(one.value, 0)) for one in Job.State)]
    return [
        {
            "label": label,
            "count": count,
            "url": "?" + urlencode({name: value for name, value in (("state", one), ("kb", slug)) if value}),
            "active": one == state,
        }
        for one, label, count in labels
        if count or one in ("", state)
    ]


def _rows(request: HttpRequest, jobs: list[Job]) -> list[JobRow]:
    names, ahead, kinds = actor_names(job.actor for job in jobs), jobs_ahead(jobs), set(known_kinds())
    caller = caller_of(request)
    rows = []
    for job in jobs:
        kind = kind_named(job.kind) if job.kind in kinds else None
        may = kind is not None and may_change(job, caller)
        cancelling = job.cancel_requested and job.state in Job.UNFINISHED
        rows.append(
            JobRow(
                job=job,
                title=title_of(job),
                kind=str(kind.label) if kind else job.kind,
                who=names.get(job.actor, job.actor),
                colour=COLOURS[job.state],
                cancelling=cancelling,
                state=_("Ending") if cancelling else str(job.get_state_display()),
                step=step_in_words(job.step) if job.state == Job.State.RUNNING else "",
                percent=percent_done(job),
                amount=str(kind.amount) if kind else "",
                left=_left(job, ahead.get(job.pk, 0)),
                error=in_words(job.error),
                report=kind.report(job) if kind else JobReport(),
                may_cancel=may and job.state in Job.UNFINISHED and not job.cancel_requested,
                may_retry=may and job.state == Job.State.FAILED,
            )
        )
    return rows


def step_in_words(step: str) -> str:
    """What a job does, in the language of the page."""
    kind, _blank, pages = step.partition(" ")
    if kind == "recognising" and "/" in pages:
        done, of = pages.split("/", 1)
        return _("recognising scanned pages: %(done)s of %(of)s") % {"done": done, "of": of}
    return str(STEPS.get(step, step))


def _left(job: Job, ahead: int) -> str:
    """How long it will take, or what it waits for."""
    if job.state == Job.State.QUEUED and ahead:
        return _("%(count)s before it") % {"count": ahead}
    seconds = seconds_left(job)
    if seconds is None:
        return ""
    if seconds < 90:
        return _("about %(count)s s left") % {"count": seconds}
    return _("about %(count)s min left") % {"count": round(seconds / 60)}
