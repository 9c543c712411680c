"""`manage.py run_jobs`: a process that works on jobs and answers nobody, beside web processes that leave them to it."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser

from django.db import connections

from apps.accounts.commands import WenluCommand
from apps.serving.jobs.runner import JobRunner
from core.backends import close_backends
from core.config import get_settings

END_S = 30.0


class Command(WenluCommand):
    """Works on jobs until it is asked to stop."""

    help = (
        "Works on background jobs until SIGTERM or Ctrl-C. Web processes do so themselves, unless QA_JOB_THREADS=0: then one or more of these "
        "do it. They need the database and the data folder of the web processes, where uploads wait."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many at a time, and when to end."""
        parser.add_argument("--threads", type=int, default=0, help="jobs at a time; 0 (default) takes QA_JOB_THREADS, at least one")
        parser.add_argument("--once", action="store_true", help="end when nothing waits any more")

    def handle(self, *, threads: int, once: bool, **options: object) -> None:
        """Runs in the foreground; what is under way when it ends goes on elsewhere."""
        runner = JobRunner(max(1, threads or get_settings().job_threads))
        if once:
            while runner.run_one_slice():
                pass
            return
        asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked.set())
        runner.start()
        self.stdout.write(f"Working on jobs as {runner.owner}; Ctrl-C ends it.")
        asked.wait()
        runner.close(END_S)
        close_backends()
        connections.close_all()
