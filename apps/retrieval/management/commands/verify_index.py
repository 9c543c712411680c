"""`manage.py verify_index --kb K [--repair]`: do database, vectors and indexes agree?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.accounts.commands import WenluCommand
from apps.retrieval.indexes.registry import close_indexes
from apps.retrieval.outbox.verification import Drift, find_drift, repair
from apps.retrieval.selectors import kb_named


class Command(WenluCommand):
    """Compares content, entries, vectors and indexes. Exit status 1 where they disagree."""

    help = "Checks that what is published is in the indexes and nothing else is. Exit status 1 where something is missing or astray."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kb", required=True, help="slug of the knowledge base")
        parser.add_argument("--repair", action="store_true", help="mend what is wrong, then check again")

    def handle(self, *args: object, **options: Any) -> None:
        kb = kb_named(options["kb"])
        try:
            drifts = find_drift(kb)
            if options["repair"] and any(drift.count for drift in drifts):
                self._print(drifts)
                repair(kb, drifts)
                self.stdout.write("Repaired; checked again:")
                drifts = find_drift(kb)
        finally:
            close_indexes()
        self._print(drifts)
        if any(drift.count for drift in drifts):
            raise CommandError(
                f"The indexes of {kb.slug} do not agree with the database: run `manage.py verify_index --kb {kb.slug} --repair`."
            )

    def _print(self, drifts: list[Drift]) -> None:
        self.stdout.write(f"{'kind':<10}{'place':<10}{'expected':>10}{'missing':>10}{'astray':>10}")
        for drift in drifts:
            self.stdout.write(
                f"{drift.kind:<10}{drift.place:<10}{drift.expected:>10}{len(drift.missing):>10}{len(drift.stray):>10}  {drift.damage}".rstrip()
            )
