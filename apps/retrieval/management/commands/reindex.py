"""`manage.py reindex --kb K`: new vectors by the present encoder, made aside and switched at once; `--rollback` goes back."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from apps.accounts.commands import WenluCommand, command_caller
from apps.retrieval.indexes.registry import close_indexes
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.rebuilding import entries_to_encode, rebuild, roll_back
from apps.retrieval.selectors import kb_named


class Command(WenluCommand):
    """Rebuilds indexes."""

    help = "Builds all indexes of a knowledge base anew with the present encoder; questions are answered meanwhile, and an interrupted build goes on."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--kb", help="slug of the knowledge base")
        which.add_argument("--all", action="store_true", help="all knowledge bases, one after the other")
        parser.add_argument(
            "--rollback", action="store_true", help="go back to the generation before, which takes seconds: its vectors are kept"
        )

    def handle(self, *args: object, **options: Any) -> None:
        kbs = list(KnowledgeBase.objects.order_by("slug")) if options["all"] else [kb_named(options["kb"])]
        try:
            for kb in kbs:
                self._rebuild(kb, rollback=options["rollback"])
        finally:
            close_indexes()

    def _rebuild(self, kb: KnowledgeBase, *, rollback: bool) -> None:
        caller = command_caller("reindex")
        if rollback:
            generation = roll_back(kb, caller)
        else:
            with tqdm(total=entries_to_encode(kb), unit=" texts", desc=kb.slug, disable=None) as bar:
                generation = rebuild(kb, caller, bar.update)
        self.stdout.write(f"{kb.slug}: generation {generation.number} by {generation.encoder} is active.")
