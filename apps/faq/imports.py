"""How FAQs come in from a file: good rows are saved chunk by chunk, bad ones are listed with their number and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from apps.accounts.permissions import Caller, Permission
from apps.faq.files import FileFormat, format_of, read_rows
from apps.faq.models import FAQ
from apps.faq.rows import FAQRow, parse_row
from apps.faq.services import Saved, preview_faqs, question_digest, row_of, save_faqs
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.rows.raw_rows import Found, RawRow, unusable
from apps.retrieval.vectors.encoding import when_free
from core.errors import Forbidden, InvalidRequest

CHUNK_ROWS = 1000
CHUNK_QUESTIONS = 1024
MAX_BAD_ROWS = 1000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not taken: its number, as a spreadsheet counts, and why."""

    row: int
    reason: str


@dataclass(slots=True)
class ImportReport:
    """What became of a file. `bad` lists the first `MAX_BAD_ROWS` of `bad_count` rows; `notes` are worth telling."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    bad_count: int = 0
    bad: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, number: int, reason: str) -> None:
        """Counts a bad row."""
        self.bad_count += 1
        if len(self.bad) < MAX_BAD_ROWS:
            self.bad.append(BadRow(number, reason))

    def add(self, saved: Saved) -> None:
        """Counts the rows of one save."""
        self.created += saved.created
        self.updated += saved.updated
        self.unchanged += saved.unchanged


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    row: FAQRow


def import_faqs(
    kb: KnowledgeBase,
    file: BinaryIO,
    *,
    name: str,
    caller: Caller,
    file_format: FileFormat | None = None,
    locale: str | None = None,
    dry_run: bool = False,
    limit_bytes: int | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Saves the rows of a seekable binary file; with `dry_run` only says what would become of them.

    Rows whose id is known replace that FAQ. A row without id gets one from its first question, so that the same file read
    twice changes nothing. `locale` is for rows that state none. `progress` is told rows read and bytes read. What was
    saved is findable when this returns. Raises InvalidRequest where the file as a whole is of no use; then nothing changed.
    """
    caller.require(Permission.EDIT, kb.pk)
    size = file.seek(0, 2)
    if limit_bytes is not None and size > limit_bytes:
        raise unusable(f"it has {size >> 20} MiB; at most {limit_bytes >> 20} are taken")
    found, report = Found(), ImportReport()
    raw = read_rows(file, file_format or format_of(file, name), found)
    for chunk in _chunks(_good_rows(raw, report, locale)):
        _save(kb, chunk, caller, report, dry_run=dry_run)
        if progress:
            progress(chunk[-1].number, file.tell())
    report.bad.sort(key=lambda bad: bad.row)
    report.notes += _notes(found)
    return report


def export_rows(kb: KnowledgeBase, *, status: str = "") -> Iterator[FAQRow]:
    """All FAQs of a knowledge base in the order in which they came, with constant memory."""
    faqs = FAQ.objects.filter(kb=kb, **({"status": status} if status else {}))
    for faq in faqs.order_by("pk").prefetch_related("questions").iterator(chunk_size=1000):
        yield row_of(faq)


def _good_rows(raw: Iterator[RawRow], report: ImportReport, locale: str | None) -> Iterator[_Numbered]:
    """The rows that can be saved; the others go into the report. Of two with one id the first counts."""
    first: dict[bytes, int] = {}
    for found in raw:
        if found.problem:
            report.refuse(found.number, found.problem)
            continue
        try:
            row = parse_row(found.data)
        except InvalidRequest as error:
            report.refuse(found.number, error.message)
            continue
        row = replace(row, id=row.id or f"q-{question_digest(row.questions[0])[:16]}", locale=row.locale or locale)
        before = first.setdefault(hashlib.blake2b(str(row.id).encode(), digest_size=12).digest(), found.number)
        if before != found.number:
            report.refuse(
                found.number, f"The id {row.id!r} is in row {before} already; a row without id takes one from its first question."
            )
            continue
        yield _Numbered(found.number, row)


def _chunks(rows: Iterator[_Numbered]) -> Iterator[list[_Numbered]]:
    """Rows by the thousand, or fewer where they bring many phrasings: one chunk is one transaction and one call of the encoder."""
    chunk: list[_Numbered] = []
    questions = 0
    for row in rows:
        chunk.append(row)
        questions += len(row.row.questions)
        if len(chunk) >= CHUNK_ROWS or questions >= CHUNK_QUESTIONS:
            yield chunk
            chunk, questions = [], 0
    if chunk:
        yield chunk


def _save(kb: KnowledgeBase, chunk: Sequence[_Numbered], caller: Caller, report: ImportReport, *, dry_run: bool) -> None:
    """Saves a chunk; where something in it is forbidden, by halves, until the forbidden rows stand alone."""
    rows = [numbered.row for numbered in chunk]
    try:
        report.add(preview_faqs(kb, rows, caller) if dry_run else when_free(lambda: save_faqs(kb, rows, caller)))
    except Forbidden as error:
        if len(chunk) == 1:
            report.refuse(chunk[0].number, error.message)
            return
        half = len(chunk) // 2
        _save(kb, chunk[:half], caller, report, dry_run=dry_run)
        _save(kb, chunk[half:], caller, report, dry_run=dry_run)


def _notes(found: Found) -> list[str]:
    notes = []
    if found.ignored:
        notes.append(f"Ignored columns: {', '.join(sorted(found.ignored)[:12])}.")
    if found.encoding not in ("utf-8", "utf-8-sig"):
        notes.append(f"Read as {found.encoding}.")
    return notes
