"""The panel's pages for what became of ingestions: counts, reasons as bars, and every source that was not simply taken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import date as format_date
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from apps.accounts.panel import ReportAdmin
from apps.accounts.permissions import Permission
from apps.accounts.refusals import in_words
from apps.retrieval.documents.ingest_report import MAX_ITEMS, Outcome
from apps.retrieval.documents.withdrawals import RESTORED
from apps.retrieval.models import Ingestion
from apps.retrieval.panel.admin_filters import KnowledgeBaseFilter
from apps.retrieval.parsing.refusal import Reason
from apps.retrieval.sites.refusal import Problem
from apps.serving.jobs.panel import live_jobs
from apps.serving.jobs.run import CANCELLED
from apps.serving.models import Job

ITEMS_A_PAGE = 50
OUTCOME_NAMES = {Outcome.BAD: gettext_lazy("unusable"), Outcome.DROPPED: gettext_lazy("left out"), Outcome.NOTED: gettext_lazy("noted")}
OUTCOME_COLOURS = {Outcome.BAD: "danger", Outcome.DROPPED: "warning", Outcome.NOTED: "info"}
REASONS: dict[str, Promise] = {
    "unusable": gettext_lazy("could not be read"),
    "duplicate": gettext_lazy("same text as another document"),
    "near_duplicate": gettext_lazy("nearly the same text as another document"),
    "too_short": gettext_lazy("too little text"),
    "symbols": gettext_lazy("mostly symbols"),
    "repeated_lines": gettext_lazy("mostly repeated lines"),
    "blocked_word": gettext_lazy("a blocked word"),
    "site_lines": gettext_lazy("lines that every page of its site has were left out"),
    "warning": gettext_lazy("read with a warning"),
    "gone": gettext_lazy("the page or file is gone"),
    RESTORED: gettext_lazy("brought back from the archive"),
    Reason.EMPTY: gettext_lazy("empty"),
    Reason.MISSING: gettext_lazy("cannot be opened"),
    Reason.UNSUPPORTED: gettext_lazy("a type that cannot be read"),
    Reason.ENCRYPTED: gettext_lazy("protected by a password"),
    Reason.DAMAGED: gettext_lazy("damaged"),
    Reason.TOO_LARGE: gettext_lazy("too large"),
    Reason.TOO_MUCH_TEXT: gettext_lazy("too much text"),
    Reason.TOO_MUCH_MEMORY: gettext_lazy("takes too much memory to read"),
    Reason.TOO_SLOW: gettext_lazy("takes too long to read"),
    Reason.TOO_DEEP: gettext_lazy("nested too deeply"),
    Reason.BOMB: gettext_lazy("unpacks to too much"),
    Reason.UNSAFE: gettext_lazy("made in an unsafe way"),
    Reason.ARCHIVE: gettext_lazy("an archive"),
    Reason.NO_TEXT: gettext_lazy("no text in it"),
    Reason.SCANNED: gettext_lazy("scanned pages without text"),
    Reason.CRASHED: gettext_lazy("reading it broke down"),
    Problem.REFUSED_ADDRESS: gettext_lazy("an address that may not be fetched"),
    Problem.OTHER_HOST: gettext_lazy("beyond the site of its sitemap"),
    Problem.ROBOTS: gettext_lazy("robots.txt forbids it"),
    Problem.NOT_FOUND: gettext_lazy("no such page"),
    Problem.STATUS: gettext_lazy("the site refuses it"),
    Problem.REDIRECTS: gettext_lazy("led on too often"),
    Problem.BUSY: gettext_lazy("the site is busy"),
    Problem.TIMED_OUT: gettext_lazy("too slow"),
    Problem.UNREACHABLE: gettext_lazy("not reachable"),
    Problem.UNSUPPORTED_TYPE: gettext_lazy("a type that cannot be read"),
    Problem.BAD_SITEMAP: gettext_lazy("no usable sitemap"),
    Problem.TOO_MANY: gettext_lazy("more than are taken"),
}
_ROW = re.compile(r"row (\d+)(?: of (.+))?", re.DOTALL)  # as sources name a row


@dataclass(frozen=True, slots=True)
class ReasonBar:
    """How often one reason came up: `percent` of the most frequent one is how long its bar is."""

    code: str
    name: str
    outcome: str
    count: int
    percent: str
    url: str
    chosen: bool


@admin.register(Ingestion)
class IngestionAdmin(ReportAdmin):
    """Runs of ingestions, the last hundred of each knowledge base."""

    kb_lookup = "kb_id"
    actor_field = "actor"
    report_template, part_template = "admin/retrieval/ingestion.html", "admin/retrieval/ingestion_part.html"
    needs: ClassVar[Mapping[str, Permission | None]] = {"view": Permission.READ, "add": None, "change": None, "delete": None}
    list_display = ("started", "kb", "outcome", "created", "updated", "unchanged", "dropped", "bad", "noted", "who")
    list_display_links = ("started",)
    list_filter = (KnowledgeBaseFilter,)
    list_filter_submit = True
    list_select_related = ("kb",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Ingestion]:
        return super().get_queryset(request).defer("items", "codes")

    @display(description=gettext_lazy("started"), ordering="started_at")
    def started(self, obj: Ingestion) -> str:
        return format_date(timezone.localtime(obj.started_at), "Y-m-d H:i")

    @display(description=gettext_lazy("outcome"), label={"done": "success", "part": "warning", "failed": "danger", "open": "info"})
    def outcome(self, obj: Ingestion) -> tuple[str, str]:
        if obj.error == CANCELLED:
            return "part", _("Cancelled")
        if obj.error:
            return "failed", _("Failed")
        if obj.finished_at is None:
            return "open", _("Not finished")
        return ("part", _("Not everything")) if obj.bad or obj.dropped else ("done", _("Everything"))

    @display(description=gettext_lazy("by"))
    def who(self, obj: Ingestion) -> str:
        return self.actor_of(obj)

    def report(self, request: HttpRequest, run: Ingestion) -> dict[str, Any]:
        """The report of one run; `code` narrows its items to one reason."""
        code = request.GET.get("code", "")
        listed = [item for item in run.items if not code or item["code"] == code]
        page = Paginator(listed, ITEMS_A_PAGE).get_page(request.GET.get("page", "1"))
        return {
            "title": _("Ingestion of %(day)s") % {"day": self.started(run)},
            "run": run,
            "error": in_words(run.error),
            "cancelled": run.error == CANCELLED,
            "outcome": self.outcome(run),
            "who": self.actor_of(run),
            "seconds": round((run.finished_at - run.started_at).total_seconds()) if run.finished_at else None,
            "figures": _figures(run),
            "bars": reason_bars(run, code),
            "code": code,
            "items": [_shown(item) for item in page],
            "page": page,
            "unlisted": max(0, run.bad + run.dropped + run.noted - len(run.items)),
            "most": MAX_ITEMS,
            **live_jobs(request, [] if run.finished_at else _jobs_of(run)),
        }


def _jobs_of(run: Ingestion) -> list[Job]:
    """The job that makes this report while it works; none where a command does."""
    return list(Job.objects.select_related("kb").filter(kb=run.kb, state__in=Job.UNFINISHED, result__ingestion=run.pk)[:1])


def reason_bars(run: Ingestion, chosen: str) -> list[ReasonBar]:
    """The reasons of a run, the most frequent first; each leads to the sources that it kept out or marked."""
    outcomes = {item["code"]: item["outcome"] for item in run.items}
    counts = Counter({code: int(count) for code, count in run.codes.items()})
    most = max(counts.values(), default=1)
    return [
        ReasonBar(
            code=code,
            name=_sentence(str(REASONS.get(code, code))),
            outcome=OUTCOME_COLOURS.get(outcomes.get(code, ""), "info"),
            count=count,
            percent=f"{max(1.0, 100 * count / most):.1f}",
            url="?" + ("" if code == chosen else urlencode({"code": code})),
            chosen=code == chosen,
        )
        for code, count in counts.most_common()
    ]


def _figures(run: Ingestion) -> list[tuple[str, int, str]]:
    return [
        (_("new"), run.created, ""),
        (_("changed"), run.updated, ""),
        (_("as they were"), run.unchanged, ""),
        (_("left out"), run.dropped, "warning" if run.dropped else ""),
        (_("unusable"), run.bad, "danger" if run.bad else ""),
        (_("noted"), run.noted, ""),
    ]


def _sentence(text: str) -> str:
    """Begins with a capital, unless its first word is a file's name."""
    return text if "." in text.split(" ", 1)[0] else capfirst(text)


def _place(place: str) -> str:
    """Where it came from, in the reader's language; a file or an address stays as it is."""
    row = _ROW.fullmatch(place)
    if row is None:
        return place
    return (_("row %(number)s of %(file)s") if row[2] else _("row %(number)s")) % {"number": row[1], "file": row[2]}


def _shown(item: Mapping[str, str]) -> dict[str, str]:
    return {
        **item,
        "place": _place(item["place"]),
        "reason": _sentence(in_words(item["reason"])),
        "name": str(REASONS.get(item["code"], item["code"])),
        "outcome_name": str(OUTCOME_NAMES.get(item["outcome"], item["outcome"])),  # type: ignore[call-overload]
        "colour": OUTCOME_COLOURS.get(item["outcome"], "info"),  # type: ignore[call-overload]
    }
