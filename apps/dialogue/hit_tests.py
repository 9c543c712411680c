"""How well does a knowledge base find what its gold set says is right? A job that asks every question by words, by vectors and by both."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Caller, Permission
from apps.dialogue.evaluations import store_run
from apps.dialogue.gold_sets import searches_of
from apps.dialogue.models import EvaluationRun, GoldSet
from apps.retrieval.search.evaluation import Judged, LabelledSearch, judge_searches, retrieval_report
from apps.retrieval.selectors import scope_of
from apps.retrieval.vectors.encoding import encoder
from apps.serving.jobs.kinds import JobKind, JobReport, register_kind
from apps.serving.jobs.run import JobRun
from apps.serving.jobs.services import enqueue_job
from apps.serving.models import Job
from core.errors import InvalidRequest
from core.types import JSONDict, JSONValue, SearchMode

KIND = "hit_test"
PIECE = 20  # questions between two checkpoints: about a second
MAX_MISSES = 500


def register_hit_test_job() -> None:
    """Makes the kind known."""
    amount = _("%(done)s of %(total)s questions")
    register_kind(JobKind(name=KIND, label=_("Hit test"), work=work, has_own_line=True, report=report_of, amount=amount))


def queue_hit_test(gold: GoldSet, caller: Caller) -> Job:
    """Queues a run over the questions of a gold set. Raises InvalidRequest where one over the same set waits or runs already."""
    caller.require(Permission.EDIT, gold.kb_id)
    if waiting_tests(gold.kb_id).filter(payload__gold=gold.pk).exists():
        raise InvalidRequest("A test over these questions waits or runs already.")
    return enqueue_job(KIND, kb=gold.kb, caller=caller, title=gold.name, payload={"gold": gold.pk}, total=gold.row_count)


def report_of(job: Job) -> JobReport:
    """The page of the run, once it is stored."""
    run = job.result.get("run")
    return JobReport(url=reverse("admin:dialogue_evaluationrun_change", args=[run])) if isinstance(run, int) else JobReport()


def waiting_tests(kb_id: int) -> Any:
    """The hit tests of a base that have not ended."""
    return Job.objects.filter(kind=KIND, kb=kb_id, state__in=Job.UNFINISHED)


def work(run: JobRun) -> Generator[None, None, None]:
    """Asks the questions from where the last checkpoint is on, then stores the run."""
    if "stored" in run.position:
        return
    gold = GoldSet.objects.filter(pk=run.payload["gold"], kb=run.kb).first()
    if gold is None:
        raise InvalidRequest("The gold set of this test is gone.")
    run.caller.require(Permission.EDIT, gold.kb_id)
    rows, position = searches_of(gold), _begun(run.position, gold)
    while int(position["done"]) < len(rows):
        began, done = time.monotonic(), int(position["done"])
        piece = rows[done : done + PIECE]
        for row, judged in zip(piece, judge_searches(piece, scope_of([gold.kb], groups=None)), strict=True):
            _note(position, row, judged)
            run.check()
        position["done"] = done + len(piece)
        position["seconds"] = round(float(position["seconds"]) + time.monotonic() - began, 2)
        with transaction.atomic():
            run.checkpoint(position, done=int(position["done"]), total=len(rows), step="asking")
        yield
    with transaction.atomic():
        stored = _store(gold, position)
        run.checkpoint(
            {"sha256": gold.sha256, "stored": stored.pk}, done=len(rows), total=len(rows), step="finished", result={"run": stored.pk}
        )


def _begun(position: JSONDict, gold: GoldSet) -> dict[str, Any]:
    """Where the last checkpoint is; the beginning where the questions have been replaced since."""
    if position.get("sha256") == gold.sha256 and "done" in position:
        return dict(position)
    return {"sha256": gold.sha256, "done": 0, "seconds": 0.0, "scores": {mode.value: [] for mode in SearchMode}, "misses": []}


def _note(position: dict[str, Any], row: LabelledSearch, judged: Judged) -> None:
    """Adds what came of one question."""
    for mode in SearchMode:
        position["scores"][mode.value].append(list(judged.scores[mode].values()))
    position["names"] = list(judged.scores[SearchMode.HYBRID])
    if judged.places[SearchMode.HYBRID] != 1 and len(position["misses"]) < MAX_MISSES:
        places: dict[str, JSONValue] = {mode.value: place for mode, place in judged.places.items()}
        position["misses"].append({"query": row.query, "relevant": sorted(row.relevant), "found": list(judged.first), "places": places})


def _store(gold: GoldSet, position: dict[str, Any]) -> EvaluationRun:
    scores = {mode: [dict(zip(position["names"], row, strict=True)) for row in position["scores"][mode.value]] for mode in SearchMode}
    report: JSONDict = {"task": "retrieval", "rows": gold.row_count, **retrieval_report(scores), "seconds": position["seconds"]}
    return store_run(gold.kb, report, data_name=gold.name, data_sha256=gold.sha256, encoder=encoder().model_id, misses=position["misses"])
