"""Does ingesting stay as fast, and its memory as small, when a knowledge base grows? Encoding is left out: its cost is constant.

    python bench/ingest.py [--passages 200000] [--every 10000] [--out bench/results/ingest.json]

Documents of one passage each go through the same `ingest` as those of the command, from a jsonl file into SQLite in a folder
of its own, with an encoder that looks vectors up. Of every `--every` passages it notes how many came in a second (and how much
of that was encoding), the processor time of one, which other work on the machine does not change, and the memory of the process.
The last figure is what it costs to ingest all of it again, unchanged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
FOLDER = tempfile.TemporaryDirectory(prefix="wenlu-bench-")
os.environ["QA_DATA_DIR"] = FOLDER.name
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")

import django  # noqa: E402
import numpy as np  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from apps.accounts.commands import command_caller  # noqa: E402
from apps.retrieval.ingesting import ingest  # noqa: E402
from apps.retrieval.models import KnowledgeBase, Passage  # noqa: E402
from apps.retrieval.sources import files_below, sources_in  # noqa: E402
from core.backends import use_backend  # noqa: E402
from core.config import get_settings  # noqa: E402
from core.types import EncodedQuery, FloatArray, Role  # noqa: E402

DIM, TABLE = 384, 4096
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


def rows(count: int) -> Iterator[dict[str, object]]:
    """Documents of about 120 words out of a vocabulary of made-up words, each unlike the others."""
    chance = random.Random(7)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(20_000)]
    for number in range(count):
        sentences = (" ".join(chance.choices(words, k=12)).capitalize() + "." for _ in range(10))
        yield {"id": f"d{number}", "title": " ".join(chance.choices(words, k=4)), "text": " ".join(sentences), "tags": [words[number % 50]]}


def measure(kb: KnowledgeBase, file: Path, every: int, encoder: TableEncoder) -> tuple[list[dict[str, float | int]], float]:
    """Figures for each `every` passages of the first ingestion, and the seconds of a second one."""
    figures: list[dict[str, float | int]] = []
    began, busy, encoded_s, sources_done, noted = time.perf_counter(), time.process_time(), 0.0, 0, 0

    def note(_size: int) -> None:
        nonlocal began, busy, encoded_s, sources_done, noted
        sources_done += 200
        if sources_done - noted < every:
            return
        took, encoding = time.perf_counter() - began, encoder.seconds - encoded_s
        figures.append(
            {
                "passages": sources_done,
                "passages_per_s": round((sources_done - noted) / (took - encoding), 1),
                "processor_ms_a_passage": round((time.process_time() - busy) * 1000 / (sources_done - noted), 3),
                "encode_s": round(encoding, 2),
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
        print(figures[-1], flush=True)
        began, busy, encoded_s, noted = time.perf_counter(), time.process_time(), encoder.seconds, sources_done

    caller = command_caller("bench")
    ingest(kb, sources_in(files_below([file])), caller, progress=note)
    again = time.perf_counter()
    report = ingest(kb, sources_in(files_below([file])), caller)
    assert report.unchanged == Passage.objects.count(), report
    return figures, time.perf_counter() - again


def main() -> None:
    """Measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--every", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("bench/results/ingest.json"))
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    encoder = TableEncoder()
    use_backend(get_settings().encoder_backend, encoder)
    file = Path(FOLDER.name) / "rows.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows(options.passages))
    kb = KnowledgeBase.objects.create(slug="bench", name="Bench")
    figures, again_s = measure(kb, file, options.every, encoder)
    result = {
        "passages": Passage.objects.count(),
        "rate_last_to_first": round(float(figures[-1]["passages_per_s"]) / float(figures[0]["passages_per_s"]), 3),
        "processor_first_to_last": round(float(figures[0]["processor_ms_a_passage"]) / float(figures[-1]["processor_ms_a_passage"]), 3),
        "memory_growth_mb": int(figures[-1]["memory_mb"]) - int(figures[0]["memory_mb"]),
        "unchanged_again_s": round(again_s, 1),
        "parts": figures,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in result.items() if name != "parts"}, indent=2))


if __name__ == "__main__":
    main()
