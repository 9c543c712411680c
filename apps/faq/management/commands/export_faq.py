"""`manage.py export_faq --kb K FILE`: all FAQs as a csv, xlsx or jsonl file that `import_faq` reads back without loss."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from apps.accounts.commands import WenluCommand
from apps.faq.files import FileFormat, format_named, write_rows
from apps.faq.imports import export_rows
from apps.faq.models import FAQ, FAQStatus
from apps.faq.rows import FAQRow
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.selectors import kb_named


class Command(WenluCommand):
    """Exports FAQs."""

    help = "Exports the FAQs of a knowledge base to a csv, xlsx or jsonl file, by the file's ending. import_faq reads it back without loss."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", type=Path, metavar="FILE", help="the file to write; one that exists is replaced; - is the standard output"
        )
        parser.add_argument("--kb", required=True, help="slug of the knowledge base")
        parser.add_argument("--status", choices=FAQStatus.values, default="", help="only FAQs in this state")
        parser.add_argument(
            "--format", choices=[known.value for known in FileFormat], help="the file's format, where its name does not say it"
        )

    def handle(self, *args: object, **options: Any) -> None:
        kb, path = kb_named(options["kb"]), options["file"]
        known = FileFormat(options["format"]) if options["format"] else format_named(path.name)
        if str(path) == "-":
            write_rows(sys.stdout.buffer, known, export_rows(kb, status=options["status"]))
            return
        try:
            count = self._write(kb, path, known, options["status"])
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error
        self.stdout.write(f"{count} FAQs written to {path}.")

    def _write(self, kb: KnowledgeBase, path: Path, known: FileFormat, status: str) -> int:
        """Writes beside the file and renames: a failure leaves what was there."""
        aside = path.with_name(f".{path.name}.part")
        total = FAQ.objects.filter(kb=kb, **({"status": status} if status else {})).count()
        try:
            with aside.open("wb") as file, tqdm(total=total, unit=" FAQs", desc=path.name, disable=None) as bar:
                count = write_rows(file, known, _counted(export_rows(kb, status=status), bar))
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        return count


def _counted(rows: Iterator[FAQRow], bar: tqdm[None]) -> Iterator[FAQRow]:
    for row in rows:
        yield row
        bar.update(1)
