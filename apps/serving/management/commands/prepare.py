"""What must be in the data folder before anything can serve? Tables, model files, static files, the demo and a first user."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from core.errors import QAError

log = logging.getLogger(__name__)


class Command(BaseCommand):
    """`manage.py prepare`."""

    help = "Creates or updates the data folder: tables, models, static files, demo, first user. Quick where it is up to date."
    requires_system_checks: Sequence[str] = []

    def handle(self, **options: object) -> None:
        """Does each step that is not done yet; without encoder or demo it warns and goes on."""
        began = perf_counter()
        call_command("migrate", interactive=False, verbosity=0)
        self._try("models", "fetch")
        call_command("collectstatic", interactive=False, verbosity=0)
        self._try("demo")
        call_command("ensure_admin")
        log.info("data folder ready path=%s seconds=%.1f", settings.DATA_DIR, perf_counter() - began)

    def _try(self, *words: str) -> None:
        """Runs a command that the server can do without: answers go by words where there is no encoder."""
        try:
            call_command(*words)
        except (CommandError, QAError) as error:
            self.stderr.write(self.style.WARNING(f"manage.py {' '.join(words)}: {error}"))
            self.stderr.write("The server starts without it.")
