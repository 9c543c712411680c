"""Where is it kept what became of each ingestion? One row a run, written at its start and at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import timezone

from apps.accounts.permissions import Caller
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.models import Ingestion, KnowledgeBase
from core.errors import QAError

KEPT_RUNS = 100


@contextmanager
def stored_report(kb: KnowledgeBase, caller: Caller) -> Iterator[IngestReport]:
    """The report to fill. Its row says how the run ended; a row without an end is of a run that goes on or was killed."""
    report = IngestReport()
    run = Ingestion.objects.create(kb=kb, actor=caller.name)
    try:
        yield report
    except BaseException as error:
        run.error = error.message if isinstance(error, QAError) else type(error).__name__
        raise
    finally:
        _finish(run, report)


def _finish(run: Ingestion, report: IngestReport) -> None:
    for name in ("created", "updated", "unchanged"):
        setattr(run, name, getattr(report, name))
    run.bad, run.dropped, run.noted = report.bad_count, report.dropped_count, report.noted_count
    run.items, run.codes, run.finished_at = report.items_as_dicts(), dict(report.codes), timezone.now()
    run.save()
    kept = Ingestion.objects.filter(kb_id=run.kb_id).order_by("-pk").values_list("pk", flat=True)[KEPT_RUNS : KEPT_RUNS + 1]
    Ingestion.objects.filter(kb_id=run.kb_id, pk__lte=max(kept, default=0)).delete()
