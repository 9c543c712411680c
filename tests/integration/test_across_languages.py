"""Questions in one language about the demo's documents in the other, with the real encoder: mostly answered rightly or not at all."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from apps.retrieval.models import KnowledgeBase
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.selectors import scope_of
from apps.retrieval.skill import FOUND, answer_of, read_hits
from core.protocols import Encoder
from tests.documents import put_document

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db


def rows(locale: str) -> list[dict]:
    """Twenty questions with their answers, then twenty without; the same in both languages."""
    lines = (ROOT / f"tests/quality/documents/questions.{locale}.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


@pytest.mark.parametrize(("asked", "written", "least", "most"), [("zh", "en", 9, 7), ("en", "zh", 3, 5)])
def test_what_the_documents_say_is_answered_across_languages(
    kb: KnowledgeBase, real_encoder: Encoder, asked: str, written: str, least: int, most: int
) -> None:
    for path in sorted((ROOT / "apps/dialogue/demo/documents").glob(f"*.{written}.md")):
        put_document(kb, path.stem, path.read_text(encoding="utf-8"))
    scope = scope_of([kb])
    right = wrong = 0
    for question, there in zip(rows(asked), rows(written), strict=True):
        text = question["question"]
        encoded = real_encoder.encode_query(text)
        reading = read_hits(text, encoded, scope, search_passages(text, encoded, scope, k=FOUND).hits)
        holds = any(answer in answer_of(reading) for answer in there["answers"])
        right += reading.accepted and holds
        wrong += reading.accepted and not holds
    assert right >= least and wrong <= most
