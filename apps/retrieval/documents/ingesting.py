"""How do documents come in? Each source is hashed, and what changed is read, cut, encoded and saved, a bounded piece at a time.

Nothing is remembered outside the database: whoever runs the same sources again goes on where an interrupted run ended, since
what is in already costs one hash.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.gone import Gone, GoneSource, settle_gone
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.ingestions import stored_report
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.screening import PlacedDraft, is_kept_out, mended, policy_digest, policy_of, without_copies
from apps.retrieval.documents.services import Draft, save_documents, set_status
from apps.retrieval.documents.site_lines import without_site_lines
from apps.retrieval.models import Document, IngestPolicy, KnowledgeBase
from core.errors import Cancelled, Forbidden, QAError

LOOK_UP, LOOK_UP_BYTES, LOOK_UP_S = 200, 16 << 20, 5.0
SAVE_PASSAGES = 256

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One document to come in. `place` is what a person calls it (`row 12 of news.jsonl`), `size` its share of the work, in bytes.

    `sha256` covers whatever its document is made from. `read` raises QAError where it cannot.
    """

    place: str
    id: str
    sha256: str
    read: Callable[[], Reading]
    size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BadSource:
    """What could not become a source, and why."""

    place: str
    problem: str
    size: int = 0
    code: str = "unusable"


AnySource: TypeAlias = Source | BadSource | GoneSource


def ingest(
    kb: KnowledgeBase, sources: Iterable[AnySource], caller: Caller, *, progress: Progress | None = None, gone: Gone = Gone.KEEP
) -> IngestReport:
    """Saves what is new or changed among the sources. `progress` is told the size of what was done since its last call.

    `gone` says what becomes of documents whose source is gone; whoever wants them taken out must be allowed to publish.
    What was saved is findable when this returns, and the report is stored (`Ingestion`), also of a run that fails. Memory does not
    grow with the number of sources. Raises what no other source
    would escape either, such as IndexMismatch; what was saved until then stays.
    """
    caller.require(Permission.EDIT if gone is Gone.KEEP else Permission.PUBLISH, kb.pk)
    with stored_report(kb, caller) as report:
        run = _Run(kb, caller, report, policy_of(kb), gone)
        for batch in _batches(sources):
            run.take(batch)
            if progress:
                progress(sum(source.size for source in batch))
        run.save_waiting()
    return report


def _batches(sources: Iterable[AnySource]) -> Iterator[list[AnySource]]:
    """Sources by the hundred, or fewer where they are large or slow to come: a batch is looked up at once and held in memory."""
    batch: list[AnySource] = []
    size, begun = 0, time.monotonic()
    for source in sources:
        batch.append(source)
        size += source.size
        if len(batch) >= LOOK_UP or size >= LOOK_UP_BYTES or time.monotonic() - begun > LOOK_UP_S:
            yield batch
            batch, size, begun = [], 0, time.monotonic()
    if batch:
        yield batch


class _Run:
    """One ingestion: what was read and waits to be saved, and what became of the rest."""

    def __init__(self, kb: KnowledgeBase, caller: Caller, report: IngestReport, policy: IngestPolicy, gone: Gone) -> None:
        self._kb, self._caller, self._report, self._policy, self._gone = kb, caller, report, policy, gone
        self._policy_digest = policy_digest(policy)
        self._first_uses = _FirstUses(report)
        self._waiting: list[PlacedDraft] = []
        self._waiting_passages = 0

    def take(self, batch: Sequence[AnySource]) -> None:
        """Reads what changed of a batch, and saves whenever enough passages wait."""
        for source in batch:
            if isinstance(source, GoneSource):
                settle_gone(self._kb, source, self._gone, self._caller, self._report)
        changed = self._changed([self._with_policy(source) for source in self._first_uses.of(batch)])
        read = [(source, reading) for source in changed if (reading := self._read(source))]
        readings = [reading for _, reading in read]
        if self._policy.drop_site_lines:
            readings = without_site_lines(self._kb, readings)
        for (source, before), reading in zip(read, readings, strict=True):
            if left_out := len(before.blocks) - len(reading.blocks):
                self._report.note(source.place, "site_lines", f"{left_out} blocks that every page of its site repeats were left out.")
            if draft := self._draft(source, reading):
                self._waiting.append(PlacedDraft(source.place, draft))
                self._waiting_passages += len(draft.chunked.passages)
            if self._waiting_passages >= SAVE_PASSAGES:
                self.save_waiting()

    def save_waiting(self) -> None:
        """Saves what waits, as far as it repeats nothing."""
        _save(self._kb, without_copies(self._kb, self._waiting, self._policy, self._report), self._caller, self._report)
        self._waiting, self._waiting_passages = [], 0

    def _with_policy(self, source: Source) -> Source:
        return replace(source, sha256=hashlib.sha256(f"{source.sha256}{self._policy_digest}".encode()).hexdigest())

    def _changed(self, sources: Sequence[Source]) -> Iterator[Source]:
        """The sources that the knowledge base does not hold as they are; one query for all of them."""
        rows = Document.objects.filter(kb=self._kb, external_id__in=[source.id for source in sources])
        stored = dict(rows.order_by().values_list("external_id", "source_sha256"))
        for source in sources:
            if stored.get(source.id) == source.sha256:
                self._report.unchanged += 1
            else:
                yield source

    def _read(self, source: Source) -> Reading | None:
        """What a source says, None where it cannot be read."""
        try:
            return mended(source.read(), self._policy)
        except Cancelled:
            raise
        except QAError as error:
            code = str(error.details.get("reason") or "unusable")
            self._report.refuse(source.place, error.message.removeprefix(f"{source.place}: "), code)
            return None

    def _draft(self, source: Source, reading: Reading) -> Draft | None:
        """The draft of a reading, None where it is kept out; what was stored of that goes to the archive."""
        try:
            if is_kept_out(reading, source.place, self._policy, self._report):
                self._withdraw(source.id)
                return None
        except QAError as error:
            self._report.refuse(source.place, error.message)
            return None
        draft = draft_of(replace(reading, source_sha256=source.sha256))
        if not draft.chunked.passages:
            self._report.refuse(source.place, "There is no text in it.")
            return None
        for warning in reading.warnings:
            self._report.note(source.place, "warning", warning)
        return draft

    def _withdraw(self, id: str) -> None:
        stored = Document.objects.filter(kb=self._kb, external_id=id).exclude(status=Document.Status.ARCHIVED)
        set_status(self._kb, list(stored), Document.Status("archived"), self._caller)


class _FirstUses:
    """Which sources bring an id for the first time in this run; the others are refused."""

    def __init__(self, report: IngestReport) -> None:
        self._report = report
        self._seen: set[int] = set()

    def of(self, batch: Sequence[AnySource]) -> Iterator[Source]:
        """The sources whose id nothing before them had."""
        for source in batch:
            if isinstance(source, GoneSource):
                continue
            if isinstance(source, BadSource):
                self._report.refuse(source.place, source.problem, source.code)
                continue
            key = int.from_bytes(hashlib.blake2b(source.id.encode(), digest_size=8).digest())
            if key in self._seen:
                self._report.refuse(source.place, f"The id {source.id!r} was there before; the first one counts.")
                continue
            self._seen.add(key)
            yield source


def _save(kb: KnowledgeBase, placed: Sequence[PlacedDraft], caller: Caller, report: IngestReport) -> None:
    """Saves what was read; where something in it is forbidden, by halves, until the forbidden ones stand alone."""
    if not placed:
        return
    try:
        saved = save_documents(kb, [one.draft for one in placed], caller)
    except Forbidden as error:
        if len(placed) == 1:
            report.refuse(placed[0].place, error.message)
            return
        half = len(placed) // 2
        _save(kb, placed[:half], caller, report)
        _save(kb, placed[half:], caller, report)
        return
    report.created, report.updated, report.unchanged = (
        report.created + saved.created,
        report.updated + saved.updated,
        report.unchanged + saved.unchanged,
    )
