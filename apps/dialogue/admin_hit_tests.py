"""The panel's pages for hit tests: gold sets, the trend of a measure over runs, one run with its misses, two runs compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import date as format_date
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from apps.accounts.line_charts import RunPoint, draw_lines
from apps.accounts.panel import ReportAdmin, caller_of, within
from apps.accounts.permissions import Permission
from apps.accounts.refusals import in_words
from apps.dialogue.evaluations import SIGNIFICANT, Comparison, compare, same_questions
from apps.dialogue.gold_sets import MAX_ROWS, delete_gold_set, save_gold_set
from apps.dialogue.hit_tests import KIND, queue_hit_test
from apps.dialogue.models import EvaluationRun, GoldSet
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.serving.jobs.panel import live_jobs, wants_part
from apps.serving.jobs.selectors import latest_jobs
from core.config import get_settings
from core.errors import QAError
from core.types import SearchMode

SHOWN_RUNS = 30
MISSES_A_PAGE = 50
SHOWN_IDS = 5
MODES = {
    SearchMode.HYBRID.value: gettext_lazy("both"),
    SearchMode.LEXICAL.value: gettext_lazy("words alone"),
    SearchMode.VECTOR.value: gettext_lazy("vectors alone"),
}
TASKS = {
    "retrieval": gettext_lazy("search"), "reading": gettext_lazy("answers out of texts"), "faq": gettext_lazy("FAQs"),
    "abstain": gettext_lazy("abstaining"),
}  # fmt: skip
MEASURES = {
    "recall_at_1": "R@1", "recall_at_5": "R@5", "recall_at_10": "R@10", "mrr": "MRR", "ndcg_at_10": "nDCG@10", "top1": "Top-1",
    "exact_match": "EM", "f1": "F1", "answer_found": gettext_lazy("answer found"), "answered": gettext_lazy("answered"),
}  # fmt: skip


class GoldSetForm(forms.Form):
    """A file of questions and the name that it is kept under."""

    name = forms.CharField(
        label=gettext_lazy("name"), required=False, max_length=200, widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Empty: the file's. A set of the same name is replaced."),
    )  # fmt: skip
    file = forms.FileField(label=gettext_lazy("file"), widget=UnfoldAdminFileFieldWidget)

    def clean_file(self) -> Any:
        most = get_settings().upload_max_mb
        if self.cleaned_data["file"].size > most * 2**20:
            raise forms.ValidationError(_("The file is larger than %(most)d MiB.") % {"most": most})
        return self.cleaned_data["file"]


@admin.register(EvaluationRun)
class EvaluationRunAdmin(ReportAdmin):
    """Hit tests and what `manage.py evaluate` measured, for who edits the knowledge base."""

    kb_lookup = "kb_id"
    report_template = "admin/dialogue/hit_test.html"
    needs: ClassVar[Mapping[str, Permission | None]] = {"view": Permission.EDIT, "add": None, "change": None, "delete": None}

    def get_queryset(self, request: HttpRequest) -> QuerySet[EvaluationRun]:
        return super().get_queryset(request).select_related("kb")

    def get_urls(self) -> list[Any]:
        gold = self.admin_site.admin_view(self.gold_view)
        return [path("gold/<int:pk>/<str:action>/", gold, name="dialogue_goldset_action"), *super().get_urls()]

    # The page of a base

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The gold sets and runs of one base; `kb`, `set` (the digest of its questions) and `show` choose."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        bases = list(within(KnowledgeBase.objects.all(), caller_of(request), Permission.EDIT, "pk"))
        kb = next((base for base in bases if base.slug == request.GET.get("kb")), None) or _busiest(bases)
        form = GoldSetForm(request.POST or None, request.FILES or None)
        if kb is not None and request.method == "POST" and form.is_valid():
            try:
                gold = self._keep(request, kb, form)
                return HttpResponseRedirect(f"?{urlencode({'kb': kb.slug, 'set': gold.sha256})}")
            except QAError as error:
                form.add_error("file", in_words(error.message))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Hit tests"),
            "bases": bases,
            "kb": kb,
            "form": form,
            "most_rows": MAX_ROWS,
            "most_mb": get_settings().upload_max_mb,
            **(self._shown(request, kb) if kb else {}),
        }
        if wants_part(request) and kb is not None:
            return TemplateResponse(request, "admin/dialogue/hit_tests_part.html", context)
        return TemplateResponse(request, "admin/dialogue/hit_tests.html", context)

    def _keep(self, request: HttpRequest, kb: KnowledgeBase, form: GoldSetForm) -> GoldSet:
        file = form.cleaned_data["file"]
        gold = save_gold_set(kb, form.cleaned_data["name"] or file.name, file.read(), caller_of(request))
        messages.success(request, _("Kept: %(name)s with %(count)d questions.") % {"name": gold.name, "count": gold.row_count})
        return gold

    def _shown(self, request: HttpRequest, kb: KnowledgeBase) -> dict[str, Any]:
        """The sets, and the runs of the chosen one."""
        sets = _question_sets(kb)
        chosen = next((one for one in sets if one["sha256"] == request.GET.get("set")), sets[0] if sets else None)
        runs = _runs(kb, chosen["sha256"], chosen["task"]) if chosen else []
        measures = list(_in_order(runs[0].metrics)) if runs else []
        show = request.GET.get("show") if request.GET.get("show") in measures else (measures[1:2] or measures[:1] or [""])[0]
        kept = {"kb": kb.slug, "set": chosen["sha256"]} if chosen else {}
        return {
            "sets": [{**one, "url": "?" + urlencode({"kb": kb.slug, "set": one["sha256"]}), "chosen": one is chosen} for one in sets],
            "chosen": chosen,
            "runs": [_row(run) for run in runs],
            "measures": [(name, MEASURES.get(name, name), "?" + urlencode({**kept, "show": name}), name == show) for name in measures],
            "columns": [MEASURES.get(name, name) for name in measures],
            "chart": _trend(runs, str(show)) if len(runs) > 1 else None,
            "modes": _modes_of(runs),
            **live_jobs(request, latest_jobs(caller_of(request), [KIND], kb_id=kb.pk)),
        }

    def gold_view(self, request: HttpRequest, pk: int, action: str) -> HttpResponse:
        """Runs or deletes a gold set."""
        gold = within(GoldSet.objects.select_related("kb"), caller_of(request), Permission.EDIT, "kb_id").filter(pk=pk).first()
        if gold is None or request.method != "POST" or action not in ("run", "delete"):
            raise Http404
        try:
            if action == "run":
                queue_hit_test(gold, caller_of(request))
                messages.success(request, _("Queued: %(name)s. Its figures stand here when it is done.") % {"name": gold.name})
            else:
                delete_gold_set(gold, caller_of(request))
                messages.success(request, _("Deleted: %(name)s. Its runs stay.") % {"name": gold.name})
        except QAError as error:
            messages.error(request, in_words(error.message))
        query = urlencode({"kb": gold.kb.slug, "set": gold.sha256})
        return HttpResponseRedirect(f"{reverse('admin:dialogue_evaluationrun_changelist')}?{query}")

    # The page of a run

    def report(self, request: HttpRequest, run: EvaluationRun) -> dict[str, Any]:
        """One run: measures by mode, the comparison with another run (`against`), and the misses."""
        others = [one for one in same_questions(run)[: SHOWN_RUNS + 1] if one.pk != run.pk][:SHOWN_RUNS]
        earlier = next((one for one in others if one.pk < run.pk), None)
        against = next((one for one in others if str(one.pk) == request.GET.get("against")), earlier)
        page = Paginator(run.misses, MISSES_A_PAGE).get_page(request.GET.get("page", "1"))
        return {
            "title": f"{run.data_name} · {_when(run)}",
            "run": run,
            "modes": _modes_of([run]),
            "table": _table(run),
            "others": [(one.pk, _when(one), one is against) for one in others],
            "comparison": _in_words(compare(run, against)) if against else None,
            "against": against,
            "page": page,
            "misses": _misses(run.kb, list(page)),
            "missed": len(run.misses),
            "all_first": run.metrics.get("recall_at_1") == 1,
        }


def _busiest(bases: Sequence[KnowledgeBase]) -> KnowledgeBase | None:
    """The base with the latest run or set, or the first."""
    latest = EvaluationRun.objects.filter(kb__in=bases).first()
    gold = GoldSet.objects.filter(kb__in=bases).order_by("-pk").first()
    wanted = latest.kb_id if latest else gold.kb_id if gold else None
    return next((kb for kb in bases if kb.pk == wanted), bases[0] if bases else None)


def _question_sets(kb: KnowledgeBase) -> list[dict[str, Any]]:
    """The gold sets of a base, then what else was measured from the command line, the latest first."""
    kept = [
        {"pk": gold.pk, "name": gold.name, "rows": gold.row_count, "sha256": gold.sha256, "task": "retrieval"}
        for gold in GoldSet.objects.filter(kb=kb).defer("rows")
    ]
    known = {one["sha256"] for one in kept}
    measured = EvaluationRun.objects.filter(kb=kb).order_by().values("task", "data_sha256", "data_name", "rows")
    others = measured.annotate(last=Max("pk"), runs=Count("pk")).order_by("-last")[:SHOWN_RUNS]
    seen: dict[str, dict[str, Any]] = {}
    for row in others:
        if row["data_sha256"] not in known:
            one = {
                "pk": None,
                "name": row["data_name"],
                "rows": row["rows"],
                "sha256": row["data_sha256"],
                "task": row["task"],
                "task_name": TASKS.get(row["task"], row["task"]),
            }
            seen.setdefault(row["data_sha256"], one)
    return [*kept, *seen.values()]


def _runs(kb: KnowledgeBase, sha256: str, task: str) -> list[EvaluationRun]:
    """The latest runs over these questions, newest first."""
    runs = EvaluationRun.objects.filter(kb=kb, data_sha256=sha256, task=task).defer("questions", "misses")
    return list(runs.order_by("-pk")[:SHOWN_RUNS])


def _in_order(values: Mapping[str, float]) -> dict[str, float]:
    """The measures as people expect them; PostgreSQL gives the keys of a JSON object back in an order of its own."""
    known = [name for name in MEASURES if name in values]
    return {name: values[name] for name in [*known, *sorted(values.keys() - MEASURES.keys())]}


def _row(run: EvaluationRun) -> dict[str, Any]:
    url = reverse("admin:dialogue_evaluationrun_change", args=[run.pk])
    values = [(f"{value:.3f}", *_within(run, name)) for name, value in _in_order(run.metrics).items()]
    return {"url": url, "when": _when(run), "encoder": run.encoder, "values": values, "seconds": run.seconds}


def _within(run: EvaluationRun, name: str) -> tuple[str]:
    ends = run.intervals.get(name)
    return (f"{ends[0]:.3f} – {ends[1]:.3f}",) if ends else ("",)


def _trend(runs: Sequence[EvaluationRun], show: str) -> dict[str, object]:
    """The chart of one measure: both together, words alone and vectors alone, oldest run first."""
    points = []
    is_one_day = len({timezone.localdate(run.created_at) for run in runs}) == 1
    for run in reversed(runs):
        values = {SearchMode.HYBRID.value: run.metrics.get(show)} | {mode: part.get(show) for mode, part in run.parts.items()}
        known = {mode: float(value) for mode, value in values.items() if value is not None and mode in MODES}
        title = " · ".join([_when(run), *(f"{MODES[mode]} {value:.3f}" for mode, value in known.items())])
        label = format_date(timezone.localtime(run.created_at), "H:i" if is_one_day else "n/j")
        points.append(RunPoint(known, label, title, reverse("admin:dialogue_evaluationrun_change", args=[run.pk])))
    return draw_lines(points, list(MODES))


def _modes_of(runs: Sequence[EvaluationRun]) -> list[Any]:
    """The names of the modes that these runs measured."""
    there = {mode for run in runs for mode in run.parts}
    return [name for mode, name in MODES.items() if mode == SearchMode.HYBRID.value or mode in there]


def _table(run: EvaluationRun) -> list[dict[str, Any]]:
    """A row a measure: the whole with its interval, then each part."""
    parts = [run.parts[mode] for mode in MODES if mode in run.parts]
    return [
        {
            "name": MEASURES.get(name, name),
            "value": f"{value:.3f}",
            "within": _within(run, name)[0],
            "parts": [f"{part[name]:.3f}" if name in part else "–" for part in parts],
        }
        for name, value in _in_order(run.metrics).items()
    ]


def _in_words(comparison: Comparison) -> dict[str, Any]:
    moved = [
        {"name": MEASURES.get(name, name), "by": f"{value:+.3f}", "colour": "success" if value > 0 else "danger" if value < 0 else ""}
        for name, value in _in_order(comparison.moved).items()
    ]
    p = comparison.p_value
    return {
        "moved": moved,
        "by": MEASURES.get(comparison.compared_by, comparison.compared_by),
        "p_value": None if p is None else f"{p:.3f}",
        "same": p == 1.0 and not any(comparison.moved.values()),
        "significant": p is not None and p < SIGNIFICANT,
    }


def _misses(kb: KnowledgeBase, misses: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Questions whose right document was not first, documents by their titles, and where to look into each; two queries."""
    ids = {id for miss in misses for id in (*miss["relevant"][:SHOWN_IDS], *miss["found"])}
    known = Document.objects.filter(kb=kb, external_id__in=ids).order_by().values_list("external_id", "title")
    titles = {id: Truncator(title or id).chars(60) for id, title in known}
    there = {*titles, *_passages_there(kb, ids - titles.keys())}
    page = reverse("search-explain-page", args=[kb.slug])
    return [
        {
            "query": miss["query"],
            "found": [titles.get(id, id) for id in miss["found"]],
            "places": [(name, miss["places"].get(mode)) for mode, name in MODES.items()],
            "links": [
                (titles.get(id, id), f"{page}?{urlencode({'q': miss['query'], 'document': id})}", id in there)
                for id in miss["relevant"][:SHOWN_IDS]
            ],
        }
        for miss in misses
    ]


def _passages_there(kb: KnowledgeBase, ids: Iterable[str]) -> set[str]:
    """Those of these ids that are passages of the base."""
    numbers = [int(id) for id in ids if id.isascii() and id.isdigit() and len(id) < 19]
    return {str(pk) for pk in Passage.objects.filter(document__kb=kb, pk__in=numbers).values_list("pk", flat=True)}


def _when(run: EvaluationRun) -> str:
    return str(format_date(timezone.localtime(run.created_at), "Y-m-d H:i"))
