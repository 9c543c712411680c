"""How long does a job of a hundred thousand passages keep another knowledge base's ten documents waiting?

    python -m bench.jobs [--passages 100000] [--times 5] [--encoder real|table] [--out bench/results/jobs.json]

The runner of the server, with its two threads, in a folder of its own. Ten documents are sent and timed until their job is done:
first alone, then while the large job of another knowledge base runs. `real` encodes with the installation's encoder (`QA_MODEL_DIR`
says where it lies), `table` looks vectors up, which leaves the work of reading and saving alone. Also noted: how long the large
job takes to end once it is cancelled, and how long until another runner goes on with it where it was.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench.ingest import FOLDER, TableEncoder, write_rows

from django.core.management import call_command  # isort: skip
from django.db import connections  # isort: skip

from apps.accounts.commands import command_caller
from apps.retrieval.documents.ingest_jobs import queue_files, queue_paths
from apps.retrieval.models import Document, KnowledgeBase
from apps.serving.jobs import leases
from apps.serving.jobs.runner import JobRunner
from apps.serving.jobs.services import cancel_job
from apps.serving.models import Job
from core.backends import use_backend
from core.config import get_settings

THREADS, DOCUMENTS, LIMIT_S = 2, 10, 600.0


def main() -> None:
    """Measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--encoder", choices=["real", "table"], default="real")
    parser.add_argument("--out", type=Path, default=Path("bench/results/jobs.json"))
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    if options.encoder == "table":
        use_backend(get_settings().encoder_backend, TableEncoder())
    result = measure(options.passages, options.times) | {"encoder": options.encoder}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    connections.close_all()


def measure(passages: int, times: int) -> dict[str, object]:
    """All figures, in seconds."""
    large, small = (KnowledgeBase.objects.create(slug=slug, name=slug) for slug in ("large", "small"))
    file = Path(FOLDER.name) / "rows.jsonl"
    write_rows(file, passages, 0)
    server = JobRunner(THREADS)
    server.start()
    send(small, 0)  # loads the encoder
    alone = [send(small, 1 + number) for number in range(times)]
    job = queue_paths(large, [file], command_caller("bench"))
    wait_until(lambda: progress(job) > 0)
    beside = [send(small, 1 + times + number) for number in range(times)]
    rate = passages_per_s(large)
    server.close(60)
    at, begun = progress(job), time.monotonic()
    heir = JobRunner(THREADS)
    heir.start()
    wait_until(lambda: progress(job) > at)
    resumed_s, begun = time.monotonic() - begun, time.monotonic()
    cancel_job(Job.objects.get(pk=job.pk), command_caller("bench"))
    wait_until(lambda: Job.objects.get(pk=job.pk).state == "cancelled")
    cancelled_s = time.monotonic() - begun
    heir.close(60)
    return {
        "passages_of_the_large_job": passages,
        "passages_per_s_of_the_large_job": round(rate, 1),
        "alone_s": [round(one, 2) for one in alone],
        "beside_s": [round(one, 2) for one in beside],
        "delay_median_s": round(statistics.median(beside) - statistics.median(alone), 2),
        "delay_worst_s": round(max(beside) - statistics.median(alone), 2),
        "goes_on_after_s": round(resumed_s, 2),
        "cancelled_after_s": round(cancelled_s, 2),
        "lease_s": leases.LEASE_S,
    }


def send(kb: KnowledgeBase, seed: int) -> float:
    """How long ten new documents take, from sending them until they can be found."""
    file = Path(FOLDER.name) / "ten.jsonl"
    write_rows(file, DOCUMENTS, 1000 + seed)
    begun = time.monotonic()
    job = queue_files(kb, [("ten.jsonl", io.BytesIO(file.read_bytes()))], command_caller("bench"))
    wait_until(lambda: Job.objects.get(pk=job.pk).state == "done")
    return time.monotonic() - begun


def progress(job: Job) -> int:
    """How far the job is."""
    return Job.objects.get(pk=job.pk).done


def passages_per_s(kb: KnowledgeBase, seconds: float = 5.0) -> float:
    """How fast documents come in just now."""
    before, begun = Document.objects.filter(kb=kb).count(), time.monotonic()
    time.sleep(seconds)
    return (Document.objects.filter(kb=kb).count() - before) / (time.monotonic() - begun)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Returns once it is so; raises TimeoutError after ten minutes."""
    until = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)


if __name__ == "__main__":
    main()
