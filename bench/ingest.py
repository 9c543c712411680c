"""Does ingesting stay as fast, and its memory as small, when a knowledge base grows? Encoding is left out: its cost is constant.

    python bench/ingest.py [--passages 200000] [--sample 10000] [--out bench/results/ingest.json]

A sample of documents of one passage each goes through the same `ingest` as those of the command, from a jsonl file into SQLite
in a folder of its own, with an encoder that looks vectors up. Then the knowledge base grows by copies of all its rows, made in
the database, each with fingerprints of its own; then another sample goes through. For each it notes how many passages came in a
second (without encoding), the processor time of one, which other work on the machine changes less, and the memory of the process,
and at the end what it costs to ingest the second sample again, unchanged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
FOLDER = tempfile.TemporaryDirectory(prefix="wenlu-bench-")
os.environ["QA_DATA_DIR"] = FOLDER.name
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")

import django  # noqa: E402
import numpy as np  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from apps.accounts.commands import command_caller  # noqa: E402
from apps.retrieval.documents.ingesting import ingest  # noqa: E402
from apps.retrieval.documents.sources import files_below, sources_in  # noqa: E402
from apps.retrieval.models import Document, Entry, EntryVector, KnowledgeBase, Passage  # noqa: E402
from core.backends import use_backend  # noqa: E402
from core.config import get_settings  # noqa: E402
from core.types import EncodedQuery, FloatArray, Role  # noqa: E402

DIM, TABLE = 384, 4096
STEP = 1_000_000
SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in ("a", "e", "i", "o", "u", "an", "er")]


class TableEncoder:
    """An Encoder that costs the same for every text: vectors come from a table. `seconds` is the time spent in it."""

    model_id, dim = "table@1", DIM

    def __init__(self) -> None:
        rows = np.random.default_rng(1).standard_normal((TABLE, DIM)).astype(np.float32)
        self._rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.seconds = 0.0

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """float32[n, DIM], unit rows."""
        began = time.perf_counter()
        found: FloatArray = self._rows[[zlib.crc32(text.encode()) % TABLE for text in texts]]
        self.seconds += time.perf_counter() - began
        return found

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
        """Each text's vector, which is its only token vector too."""
        return [(row, row[None]) for row in self.encode(texts, role)]

    def encode_query(self, text: str) -> EncodedQuery:
        """A question; the bench asks none."""
        row = self.encode([text], Role.QUERY)[0]
        return EncodedQuery(encoder=self.model_id, vector=row, token_vectors=None, encode_ms=0.0)


def write_rows(file: Path, count: int, seed: int) -> None:
    """Documents of about 120 words out of a vocabulary of made-up words, each unlike the others."""
    chance = random.Random(seed)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(20_000)]
    with file.open("w", encoding="utf-8") as lines:
        for number in range(count):
            text = " ".join(" ".join(chance.choices(words, k=12)).capitalize() + "." for _ in range(10))
            row = {"id": f"{seed}-{number}", "title": " ".join(chance.choices(words, k=4)), "text": text, "tags": [words[number % 50]]}
            lines.write(json.dumps(row) + "\n")


def measure(kb: KnowledgeBase, file: Path, encoder: TableEncoder) -> dict[str, float | int]:
    """Figures of one ingestion."""
    encoder.seconds, busy, began = 0.0, time.process_time(), time.perf_counter()
    report = ingest(kb, sources_in(files_below([file])), command_caller("bench"))
    took, busy, count = time.perf_counter() - began, time.process_time() - busy, max(1, report.created)
    return {
        "passages_before": Passage.objects.count() - report.created,
        "created": report.created,
        "unchanged": report.unchanged,
        "seconds": round(took, 2),
        "encode_s": round(encoder.seconds, 2),
        "passages_per_s": round(count / (took - encoder.seconds), 1),
        "processor_ms_a_passage": round((busy - encoder.seconds) * 1000 / count, 3),
        "memory_mb": own_memory_mb(),
    }


def own_memory_mb() -> int:
    """What the process holds itself: pages of the database file that it maps are the system's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("RssAnon:"))


def grow(times: int) -> None:
    """Adds `times` copies of every row that a document has, under other keys, ids, hashes and fingerprints."""
    other = {
        Document: {"external_id": "external_id || '-' || n", "text_sha256": "hex(randomblob(32))", "simhash": "random()"}
        | {f"band_{number}": "abs(random() % 65536)" for number in range(4)},
        Passage: {"document_id": "document_id + n * {step}"},
        Entry: {"owner_id": "owner_id + n * {step}"},
        EntryVector: {"entry_id": "entry_id + n * {step}"},
    }
    with transaction.atomic(), connection.cursor() as cursor:
        for model, changed in other.items():
            changed = {"id": "id + n * {step}"} | changed
            columns = [field.column for field in model._meta.concrete_fields]
            taken = ", ".join(changed.get(column, f'"{column}"').format(step=STEP) for column in columns)
            names = ", ".join(f'"{column}"' for column in columns)
            copies = f"WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {times})"
            cursor.execute(f"{copies} INSERT INTO {model._meta.db_table} ({names}) SELECT {taken} FROM {model._meta.db_table}, copies")
    connection.close()  # and with it the cache of what was copied


def main() -> None:
    """Measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--sample", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("bench/results/ingest.json"))
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    encoder = TableEncoder()
    use_backend(get_settings().encoder_backend, encoder)
    kb = KnowledgeBase.objects.create(slug="bench", name="Bench")
    files = [Path(FOLDER.name) / f"rows{seed}.jsonl" for seed in range(3)]
    for seed, file in enumerate(files):
        write_rows(file, options.sample, seed)
    measure(kb, files[0], encoder)
    small = measure(kb, files[1], encoder)
    grow(options.passages // (2 * options.sample) - 1)
    large = measure(kb, files[2], encoder)
    again = measure(kb, files[2], encoder)
    result = {
        "rate_of_large_to_small": round(float(large["passages_per_s"]) / float(small["passages_per_s"]), 3),
        "processor_of_small_to_large": round(float(small["processor_ms_a_passage"]) / float(large["processor_ms_a_passage"]), 3),
        "memory_growth_mb": int(large["memory_mb"]) - int(small["memory_mb"]),
        "unchanged_again_s": again["seconds"],
        "small": small,
        "large": large,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
