"""Kills the process that works on a job, at one step after another, and tells what the next process makes of it.

    python -m tests.killed_jobs FOLDER      prints one JSON object a step

Each step begins with the same database and upload, in processes of their own (fork): the first one kills itself with SIGKILL when
it comes to the step, the second one takes the job over and finishes it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROWS, PIECE, DOUBLED = 40, 8, 3


def start(folder: Path) -> None:
    """Makes the database with one job in it, and keeps a copy of both."""
    os.environ.update(QA_DATA_DIR=str(folder / "data"), DJANGO_SETTINGS_MODULE="qa_project.settings", QA_LOG_LEVEL="ERROR")
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from apps.accounts.commands import command_caller
    from apps.retrieval.documents import ingesting
    from apps.retrieval.documents.ingest_jobs import queue_files
    from apps.retrieval.models import KnowledgeBase
    from core.backends import use_backend
    from core.config import get_settings
    from tests.encoders import HashingEncoder

    call_command("migrate", verbosity=0)
    use_backend(get_settings().encoder_backend, HashingEncoder())
    for name in ("FEWEST_PASSAGES", "FIRST_PASSAGES", "MOST_PASSAGES"):
        setattr(ingesting, name, PIECE)
    rows = [{"id": f"d{number}", "text": f"Walrus number {number}."} for number in [*range(ROWS), *range(DOUBLED)]]
    data = "\n".join(map(json.dumps, rows)).encode()
    kb = KnowledgeBase.objects.create(slug="hr", name="HR")
    queue_files(kb, [("rows.jsonl", io.BytesIO(data))], command_caller("test"))
    connections.close_all()
    shutil.copytree(folder / "data", folder / "before")


def steps() -> dict[str, tuple[Any, str, int, bool]]:
    """What a worker calls on its way: where it is, its name, at which call to kill, and whether after it or before."""
    from apps.retrieval.documents import ingesting, services
    from apps.retrieval.documents.ingestions import StoredRun
    from apps.serving.jobs import leases, runner
    from apps.serving.jobs.run import JobRun
    from tests.encoders import HashingEncoder

    return {
        "claimed": (leases, "claim", 1, True),
        "begun": (JobRun, "checkpoint", 1, True),
        "reading": (ingesting, "draft_of", 20, True),
        "encoding": (HashingEncoder, "encode_tokens", 3, False),
        "written, not committed": (services, "_write", 3, True),
        "checkpoint, not committed": (JobRun, "checkpoint", 4, True),
        "committed": (services, "follower", 3, False),
        "reported": (StoredRun, "finish", 1, True),
        "before the end": (leases, "finish", 1, False),
        "ended": (runner, "remove_files", 1, False),
    }


def kill_at(place: Any, name: str, call: int, after: bool) -> None:
    """This process dies in that call of the function."""
    real, calls = getattr(place, name), [0]

    def counted(*args: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        given = real(*args, **more)
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return given

    setattr(place, name, counted)


def work() -> None:
    """Works on whatever is there until nothing is left."""
    from apps.serving.jobs import leases
    from apps.serving.jobs.runner import JobRunner

    leases.release_dead()
    one = JobRunner(0)
    while one.run_one_slice():
        pass


def found() -> dict[str, object]:
    """What is there at the end."""
    from apps.retrieval.models import Document, Entry, EntryVector, Ingestion, KnowledgeBase, Passage
    from apps.retrieval.outbox.verification import find_drift
    from apps.serving.jobs import files
    from apps.serving.models import Job

    files.ORPHAN_S = -1.0
    files.sweep_files()
    job, kb = Job.objects.get(), KnowledgeBase.objects.get()
    run = Ingestion.objects.order_by("pk").last()
    return {
        "job": [job.state, job.done == job.total, job.lease_owner],
        "counts": [job.result.get(name) for name in ("created", "updated", "unchanged", "bad")],
        "report": [run.created, run.updated, run.unchanged, run.bad, len(run.items), run.finished_at is not None] if run else [],
        "rows": [model.objects.count() for model in (Document, Passage, Entry, EntryVector)],
        "drift": sum(drift.count for drift in find_drift(kb)),
        "files": len(list(files.jobs_folder().iterdir())),
    }


def in_a_process(act: Callable[[], object]) -> tuple[int, str]:
    """The exit status (negative: the signal) of `act` in a process of its own, and what it gave as JSON."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        with suppress(BaseException):
            given = act()
            os.write(writing, json.dumps(given).encode())
            status = 0
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as given_back:
        text = given_back.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def main() -> None:
    """Kills at every step and prints what became of the job."""
    folder = Path(sys.argv[1])
    start(folder)
    for name, step in steps().items():
        shutil.rmtree(folder / "data")
        shutil.copytree(folder / "before", folder / "data")
        killed, _ = in_a_process(lambda step=step: (kill_at(*step), work()))  # type: ignore[misc]
        status, text = in_a_process(lambda: (work(), found())[1])
        print(json.dumps({"step": name, "killed": killed, "status": status, "found": json.loads(text or "{}")}), flush=True)


if __name__ == "__main__":
    main()
