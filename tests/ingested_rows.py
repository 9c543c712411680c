"""Ingests rows of a jsonl file, and tells what became of them."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable
from pathlib import Path

from apps.accounts.permissions import Caller
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.ingesting import ingest
from apps.retrieval.documents.sources import files_below, sources_in
from apps.retrieval.models import Document, KnowledgeBase

WORDS = ["".join(letters) for letters in itertools.product("bdgklmnrst", "aeiou", "bdgklmnrst", "aeiou")]


def prose(seed: int, words: int = 400) -> str:
    """A text of made-up words, another one for each seed."""
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(words)) + "."


def ingest_rows(kb: KnowledgeBase, rows: Iterable[dict[str, object]], caller: Caller, folder: Path) -> IngestReport:
    """The rows as `rows.jsonl` of the folder, into `kb`."""
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return ingest(kb, sources_in(files_below([file])), caller)


def told(report: IngestReport) -> list[tuple[str, str, str]]:
    """(line, outcome, code) of each item."""
    return [(item.place.split()[1], item.outcome.value, item.code) for item in report.items]


def stored() -> set[str]:
    """The ids of all documents that are not archived."""
    return set(Document.objects.exclude(status="archived").values_list("external_id", flat=True))
