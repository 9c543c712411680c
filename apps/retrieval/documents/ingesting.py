"""How do documents come in? Each source is hashed, and what changed is read, cut, encoded and saved, a bounded piece at a time.

Nothing is remembered outside the database: whoever runs the same sources again goes on where an interrupted run ended, since
what is in already costs one hash. A job (`apps.retrieval.documents.ingest_jobs`) also stores how many sources are settled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.copies import without_copies
from apps.retrieval.documents.gone import Gone, settle_gone
from apps.retrieval.documents.incoming import AnySource, GoneSource, Source
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.ingestions import stored_report
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.screening import PlacedDraft, is_kept_out, policy_of
from apps.retrieval.documents.services import SavedDocuments, keep_archived, save_documents
from apps.retrieval.documents.site_lines import without_site_lines
from apps.retrieval.documents.source_reading import SourceReader, Taken, Told
from apps.retrieval.documents.withdrawals import ARCHIVED, restored, withdraw
from apps.retrieval.models import IngestPolicy, KnowledgeBase, Withdrawal
from core.errors import Forbidden, QAError

LOOK_UP, LOOK_UP_BYTES, LOOK_UP_S = 200, 16 << 20, 5.0
READ_S, PIECE_S = 5.0, 2.0
FEWEST_PASSAGES, FIRST_PASSAGES, MOST_PASSAGES = 16, 32, 512

Progress = Callable[[int], None]
Settled = Callable[[int, int], None]


def ingest(
    kb: KnowledgeBase,
    sources: Iterable[AnySource],
    caller: Caller,
    *,
    progress: Progress | None = None,
    gone: Gone = Gone.KEEP,
    told: Told = lambda source, pages: None,
) -> IngestReport:
    """Saves what is new or changed among the sources. `progress` is told the size of what was done since its last call, `told` as below.

    `gone` says what becomes of documents whose source is gone; whoever wants them taken out must be allowed to publish.
    What was saved is findable when this returns, and the report is stored (`Ingestion`), also of a run that fails. Memory does not
    grow with the number of sources. Raises what no other source
    would escape either, such as IndexMismatch; what was saved until then stays.
    """
    with stored_report(kb, caller) as report:
        for size in ingest_pieces(kb, sources, caller, report, gone=gone, told=told):
            if progress:
                progress(size)
    return report


def ingest_pieces(
    kb: KnowledgeBase,
    sources: Iterable[AnySource],
    caller: Caller,
    report: IngestReport,
    *,
    gone: Gone = Gone.KEEP,
    skip: int = 0,
    settled: Settled = lambda sources, size: None,
    check: Callable[[], None] = lambda: None,
    told: Told = lambda source, pages: None,
) -> Iterator[int]:
    """The same piece by piece: yields the size of each piece, of a second or so, once it is saved.

    `settled` is told how many sources a piece had and their size, in the transaction that saves it, when the report counts it too:
    whoever stores both goes on there after a kill, with `skip` sources passed over. `check` is called often and may raise.
    `told` hears how far the reading of a source is that takes long, and 0 is yielded.
    """
    caller.require(Permission.EDIT if gone is Gone.KEEP else Permission.PUBLISH, kb.pk)
    run = _Run(kb, caller, report, policy_of(kb), gone, settled, check, told)
    for batch in _batches(run.without_first(skip, sources)):
        yield from run.take(batch)


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
    """One ingestion. Sources are looked up by the batch, read for some seconds, and settled a piece at a time, in their order."""

    def __init__(
        self,
        kb: KnowledgeBase,
        caller: Caller,
        report: IngestReport,
        policy: IngestPolicy,
        gone: Gone,
        settled: Settled,
        check: Callable[[], None],
        told: Told,
    ) -> None:
        self._kb, self._caller, self._report, self._policy = kb, caller, report, policy
        self._gone, self._settled, self._check = gone, settled, check
        self._reader = SourceReader(kb, policy, check, told)
        self._most_passages = FIRST_PASSAGES

    def without_first(self, skip: int, sources: Iterable[AnySource]) -> Iterator[AnySource]:
        """The sources after the first ones, whose ids count as used."""
        for number, source in enumerate(sources):
            if number >= skip:
                yield source
            elif isinstance(source, Source):
                self._check()
                self._reader.count_as_used(source)

    def take(self, batch: Sequence[AnySource]) -> Iterator[int]:
        """Reads what changed of a batch and saves it; yields after each piece, with its size."""
        known = self._reader.known([source for source in batch if isinstance(source, Source)])
        begun, taken = time.monotonic(), list[Taken]()
        for number, source in enumerate(batch):
            self._check()
            taken.append((yield from self._reader.look_at(source, known)))
            if time.monotonic() - begun > READ_S or number + 1 == len(batch):
                yield from self._settle_all(taken)
                begun, taken = time.monotonic(), []

    def _settle_all(self, taken: Sequence[Taken]) -> Iterator[int]:
        """Makes drafts of what was read and settles all in pieces of about as many passages as a second takes."""
        self._leave_out_site_lines([one for one in taken if one.reading])
        piece: list[Taken] = []
        for number, one in enumerate(taken):
            if isinstance(one.source, Source) and one.reading:
                self._make_draft(one, one.source, one.reading)
            piece.append(one)
            if sum(each.passages for each in piece) >= self._most_passages or number + 1 == len(taken):
                self._check()
                yield self._settle(piece)
                piece = []

    def _leave_out_site_lines(self, taken: Sequence[Taken]) -> None:
        if not self._policy.drop_site_lines:
            return
        readings = without_site_lines(self._kb, [one.reading for one in taken if one.reading])
        for one, reading in zip(taken, readings, strict=True):
            if one.reading and (left_out := len(one.reading.blocks) - len(reading.blocks)):
                one.report.note(one.source.place, "site_lines", f"{left_out} blocks that every page of its site repeats were left out.")
            one.reading = reading

    def _make_draft(self, taken: Taken, source: Source, reading: Reading) -> None:
        """Notes the draft of a reading, or that it is kept out."""
        taken.reading = None  # pages of text are not needed any more
        try:
            taken.is_kept_out = is_kept_out(reading, source.place, self._policy, taken.report)
        except QAError as error:
            taken.report.refuse(source.place, error.message)
            return
        if taken.is_kept_out:
            return
        draft = draft_of(replace(reading, source_sha256=source.sha256))
        if not draft.chunked.passages:
            taken.report.refuse(source.place, "There is no text in it.")
            return
        for warning in reading.warnings:
            taken.report.note(source.place, "warning", warning)
        taken.draft = draft

    def _settle(self, piece: Sequence[Taken]) -> int:
        """Saves a piece as far as it repeats nothing, and takes out what is kept out now or gone. Returns its size."""
        begun, size = time.monotonic(), sum(one.source.size for one in piece)
        for one in piece:
            if isinstance(one.source, GoneSource):
                settle_gone(self._kb, one.source, self._gone, self._caller, one.report)
            elif one.is_kept_out and isinstance(one.source, Source):
                self._withdraw(one.source, one.report)
            if one.told:
                self._report.add(one.told)
        placed = restored(self._kb, [PlacedDraft(one.source.place, one.draft) for one in piece if one.draft], self._caller, self._report)
        kept = without_copies(self._kb, placed, self._policy, self._report, self._caller)
        self._save(kept, lambda: self._settled(len(piece), size))
        self._keep_pace(sum(one.passages for one in piece), time.monotonic() - begun)
        return size

    def _withdraw(self, source: Source, report: IngestReport) -> None:
        """What was stored of a source that is kept out now goes to the archive, which the report says."""
        try:
            if withdraw(self._kb, source.id, self._caller, Withdrawal.Reason.POLICY):
                report.say_more("Its document was archived.")
        except QAError as error:
            report.refuse(source.place, error.message)

    def _save(self, placed: Sequence[PlacedDraft], settled: Callable[[], None]) -> None:
        """Saves what was read; where something in it is forbidden, by halves, until the forbidden ones stand alone."""

        def count(saved: SavedDocuments) -> None:
            self._report.created += saved.created
            self._report.updated += saved.updated
            self._report.unchanged += saved.unchanged
            keep_archived([document for document, one in zip(saved.documents, placed, strict=True) if one.draft.row.status == ARCHIVED])
            settled()

        if not placed:
            settled()
            return
        try:
            save_documents(self._kb, [one.draft for one in placed], self._caller, along=count, check=self._check)
        except Forbidden as error:
            if len(placed) == 1:
                self._report.refuse(placed[0].place, error.message)
                settled()
                return
            half = len(placed) // 2
            self._save(placed[:half], lambda: None)
            self._save(placed[half:], settled)

    def _keep_pace(self, passages: int, seconds: float) -> None:
        """Larger pieces where they are done quickly, smaller ones where others would wait for them."""
        if passages >= self._most_passages and seconds < PIECE_S / 2:
            self._most_passages = min(MOST_PASSAGES, self._most_passages * 2)
        elif seconds > PIECE_S * 2:
            self._most_passages = max(FEWEST_PASSAGES, self._most_passages // 2)
