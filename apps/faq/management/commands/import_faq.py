"""`manage.py import_faq --kb K FILE`: FAQs from a csv, xlsx or jsonl file; they are searchable when it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from apps.accounts.commands import WenluCommand, command_caller
from apps.faq.files import FileFormat
from apps.faq.imports import ImportReport, import_faqs
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.verification import entries_without_vector
from apps.retrieval.rows.raw_rows import unusable
from apps.retrieval.selectors import kb_named


class Command(WenluCommand):
    """Imports FAQs. Exit status: 0 all rows are in, 1 some rows were bad, 2 the file is of no use and nothing changed."""

    help = (
        "Imports FAQs from a csv, xlsx or jsonl file. Columns: id, question (one phrasing) or questions (one a line), answer, category, locale, "
        "valid_from, valid_until, status. Exit status 0: all rows are in; 1: some rows were bad, the others are in; 2: nothing changed."
    )
    failure_status = 2

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the file to read")
        parser.add_argument("--kb", required=True, help="slug of the knowledge base that takes the FAQs")
        parser.add_argument("--dry-run", action="store_true", help="check the file and say what would change, but change nothing")
        parser.add_argument(
            "--format", choices=[known.value for known in FileFormat], help="the file's format, where its name does not say it"
        )

    def handle(self, *args: object, **options: Any) -> None:
        kb, path = kb_named(options["kb"]), options["file"]
        try:
            report = self._import(kb, path, options)
        except OSError as error:
            raise unusable(f"{path}: {error.strerror or error}") from error
        self._tell(kb, report, dry_run=options["dry_run"])
        if report.bad_count:
            raise CommandError(f"{report.bad_count} rows could not be used; all others were.", returncode=1)

    def _import(self, kb: KnowledgeBase, path: Path, options: dict[str, Any]) -> ImportReport:
        with path.open("rb") as file, tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:

            def show(rows: int, done: int) -> None:
                bar.set_postfix(rows=rows, refresh=False)
                bar.update(max(0, min(done, int(bar.total)) - bar.n))

            known = FileFormat(options["format"]) if options["format"] else None
            return import_faqs(
                kb, file, name=path.name, caller=command_caller("import_faq"), file_format=known, dry_run=options["dry_run"], progress=show
            )

    def _tell(self, kb: KnowledgeBase, report: ImportReport, *, dry_run: bool) -> None:
        for bad in report.bad:
            self.stderr.write(f"row {bad.row}: {bad.reason}")
        if report.bad_count > len(report.bad):
            self.stderr.write(f"… and {report.bad_count - len(report.bad)} more bad rows")
        for note in report.notes:
            self.stderr.write(note)
        counts = f"{report.created} created, {report.updated} updated, {report.unchanged} unchanged, {report.bad_count} bad"
        self.stdout.write(f"{'Nothing was changed; this would be: ' if dry_run else ''}{counts}.")
        bare = 0 if dry_run else entries_without_vector(kb)
        if bare:
            self.stderr.write(
                f"{bare} phrasings have no vector yet and are found by their words only: run `manage.py verify_index --kb {kb.slug} --repair`."
            )
