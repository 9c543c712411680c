"""Where is it kept what became of each ingestion? One row a run, written at its start, at the checkpoints of a job, and at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import timezone

from apps.accounts.permissions import Caller
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.models import Ingestion, KnowledgeBase
from core.errors import QAError

KEPT_RUNS = 100
_COUNTS = ("created", "updated", "unchanged")


@contextmanager
def stored_report(kb: KnowledgeBase, caller: Caller) -> Iterator[IngestReport]:
    """The report to fill. Its row says how the run ended; a row without an end is of a run that goes on or was killed."""
    run = StoredRun(kb, caller)
    error = ""
    try:
        yield run.report
    except BaseException as raised:
        error = raised.message if isinstance(raised, QAError) else type(raised).__name__
        raise
    finally:
        run.finish(error)


def end_run(id: int, error: str) -> None:
    """Says that a run has ended, and why, unless it did already; what it had come to by its last checkpoint stays as it is."""
    Ingestion.objects.filter(pk=id, finished_at=None).update(error=error, finished_at=timezone.now())


class StoredRun:
    """One ingestion's row and its report; `id` of an earlier row takes up what that run had come to."""

    def __init__(self, kb: KnowledgeBase, caller: Caller, *, id: int = 0) -> None:
        found = Ingestion.objects.filter(kb=kb, pk=id).first() if id else None
        self._row = found or Ingestion.objects.create(kb=kb, actor=caller.name)
        self._row.error, self._row.finished_at = "", None
        self.report = IngestReport.from_dicts(
            {name: getattr(self._row, name) for name in _COUNTS},
            {"bad": self._row.bad, "dropped": self._row.dropped, "noted": self._row.noted},
            self._row.items,
            self._row.codes,
        )
        self._items_written = len(self.report.items)

    @property
    def id(self) -> int:
        """The primary key of its row."""
        return int(self._row.pk)

    def write(self) -> None:
        """Stores what the report says by now; its items only where there are more of them."""
        row, report = self._row, self.report
        for name in _COUNTS:
            setattr(row, name, getattr(report, name))
        row.bad, row.dropped, row.noted, row.codes = report.bad_count, report.dropped_count, report.noted_count, dict(report.codes)
        fields = [*_COUNTS, "bad", "dropped", "noted", "codes", "error", "finished_at"]
        if len(report.items) != self._items_written:
            row.items, self._items_written = report.items_as_dicts(), len(report.items)
            fields.append("items")
        Ingestion.objects.filter(pk=row.pk).update(**{name: getattr(row, name) for name in fields})

    def finish(self, error: str = "") -> None:
        """Stores how the run ended, and deletes the oldest runs of the knowledge base."""
        self._row.error, self._row.finished_at = error, timezone.now()
        self.write()
        kept = Ingestion.objects.filter(kb_id=self._row.kb_id).order_by("-pk").values_list("pk", flat=True)[KEPT_RUNS : KEPT_RUNS + 1]
        Ingestion.objects.filter(kb_id=self._row.kb_id, pk__lte=max(kept, default=0)).delete()
