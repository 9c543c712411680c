"""How do documents come in? Each source is hashed, and what changed is read, cut, encoded and saved, a bounded piece at a time.

Nothing is remembered outside the database: whoever runs the same sources again goes on where an interrupted run ended, since
what is in already costs one hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.document_services import Draft, save_documents
from apps.retrieval.models import Document, KnowledgeBase
from core.errors import Forbidden, QAError

LOOK_UP = 200
SAVE_PASSAGES = 256
MAX_ITEMS = 1000

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One document to come in. `place` is what a person calls it (`row 12 of news.jsonl`), `size` its share of the work, in bytes.

    `sha256` covers whatever its document is made from. `read` makes the draft, and raises QAError where it cannot.
    """

    place: str
    id: str
    sha256: str
    read: Callable[[], Draft]
    size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BadSource:
    """What could not become a source, and why."""

    place: str
    problem: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class ReportItem:
    """A source that was not taken: where it is, and why."""

    place: str
    reason: str


@dataclass(slots=True)
class IngestReport:
    """What became of the sources. `bad` lists the first `MAX_ITEMS` of `bad_count` that could not be used."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    bad_count: int = 0
    bad: list[ReportItem] = field(default_factory=list)

    def refuse(self, place: str, reason: str) -> None:
        """Counts a source that could not be used."""
        self.bad_count += 1
        if len(self.bad) < MAX_ITEMS:
            self.bad.append(ReportItem(place, reason))


@dataclass(frozen=True, slots=True)
class _Placed:
    place: str
    draft: Draft


def ingest(kb: KnowledgeBase, sources: Iterable[Source | BadSource], caller: Caller, *, progress: Progress | None = None) -> IngestReport:
    """Saves what is new or changed among the sources. `progress` is told the size of what was done since its last call.

    What was saved is findable when this returns. Memory does not grow with the number of sources. Raises what no other source
    would escape either, such as IndexMismatch; what was saved until then stays.
    """
    caller.require(Permission.EDIT, kb.pk)
    report, report_size = IngestReport(), progress or (lambda _size: None)
    first_uses = _FirstUses(report)
    iterator = iter(sources)
    waiting: list[_Placed] = []
    while batch := list(islice(iterator, LOOK_UP)):
        for source in _changed(kb, first_uses.of(batch), report):
            if placed := _read(source, report):
                waiting.append(placed)
            if sum(len(one.draft.chunked.passages) for one in waiting) >= SAVE_PASSAGES:
                _save(kb, waiting, caller, report)
                waiting = []
        report_size(sum(source.size for source in batch))
    _save(kb, waiting, caller, report)
    return report


class _FirstUses:
    """Which sources bring an id for the first time in this run; the others are refused."""

    def __init__(self, report: IngestReport) -> None:
        self._report = report
        self._seen: set[int] = set()

    def of(self, batch: Sequence[Source | BadSource]) -> Iterator[Source]:
        """The sources whose id nothing before them had."""
        for source in batch:
            if isinstance(source, BadSource):
                self._report.refuse(source.place, source.problem)
                continue
            key = int.from_bytes(hashlib.blake2b(source.id.encode(), digest_size=8).digest())
            if key in self._seen:
                self._report.refuse(source.place, f"The id {source.id!r} was there before; the first one counts.")
                continue
            self._seen.add(key)
            yield source


def _changed(kb: KnowledgeBase, sources: Iterable[Source], report: IngestReport) -> Iterator[Source]:
    """The sources that the knowledge base does not hold as they are; one query for all of them."""
    known = list(sources)
    rows = Document.objects.filter(kb=kb, external_id__in=[source.id for source in known])
    stored = dict(rows.values_list("external_id", "source_sha256"))
    for source in known:
        if stored.get(source.id) == source.sha256:
            report.unchanged += 1
        else:
            yield source


def _read(source: Source, report: IngestReport) -> _Placed | None:
    try:
        draft = source.read()
    except QAError as error:
        report.refuse(source.place, error.message.removeprefix(f"{source.place}: "))
        return None
    if not draft.chunked.passages:
        report.refuse(source.place, "There is no text in it.")
        return None
    return _Placed(source.place, draft)


def _save(kb: KnowledgeBase, placed: Sequence[_Placed], caller: Caller, report: IngestReport) -> None:
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
