"""Which questions and passages can an answer's confidence be fitted on? The demo's FAQ answers put together, and sets of reading comprehension."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from apps.retrieval.documents.chunking import chunk_document
from apps.retrieval.documents.passages import passage_text
from apps.retrieval.documents.text_blocks import blocks_of_text
from apps.retrieval.indexes.analysis import simplify
from apps.retrieval.search.stored_passages import StoredPassage
from apps.retrieval.vectors.encoding import encoder
from apps.retrieval.vectors.token_vectors import TokenProjection
from core.maxsim import quantize
from core.sentences import sentence_spans
from core.text import clean_text
from core.types import FloatArray, Locale, Role

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, the answers that are accepted, and where they stand; none is accepted where it was written to have none."""

    text: str
    answers: tuple[str, ...]
    document: str
    topic: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelledSet:
    """Passages with their vectors float32[n, dim] and tokens as stored, and questions with theirs."""

    name: str
    passages: Sequence[StoredPassage]
    questions: Sequence[Question]
    vectors: FloatArray
    tokens: Sequence[Any]
    asked_vectors: FloatArray
    asked_tokens: Sequence[FloatArray]


def cut(id: str, title: str, topic: str, text: str) -> list[StoredPassage]:
    """The passages of a document, as ingestion cuts it; the topic stands in `category`."""
    return [
        StoredPassage(
            id=0, document_id=0, document=id, title=title, heading=chunk.heading, text=chunk.text, start=chunk.start, end=chunk.end,
            page=None, later_pages="", url="", language="", author="", category=topic, tags=(), date=None,
        )
        for chunk in chunk_document(blocks_of_text(text), title=title).passages
    ]  # fmt: skip


def read_comprehension(name: str, folder: Path, *, half: bool) -> tuple[str, list[StoredPassage], list[Question]]:
    """A reading set; of its questions those about half of the articles, if so wanted."""
    prefix = "train_" if (folder / "train_qa.jsonl").is_file() else ""
    documents = {row["id"]: row for row in read(folder / f"{prefix}passages.jsonl")}
    passages = [one for id, row in documents.items() for one in cut(id, row["title"].replace("_", " "), row["title"], row["text"])]
    questions = [
        Question(
            text=row["question"], answers=tuple(row["answers"]), document=row["passage_id"], topic=documents[row["passage_id"]]["title"]
        )
        for row in read(folder / f"{prefix}qa.jsonl")
        if row["passage_id"] in documents
    ]
    return name, passages, [one for one in questions if not half or in_half(one.topic)]


def read_demo(documents: Locale, asked: Locale) -> tuple[str, list[StoredPassage], list[Question]]:
    """The demo's FAQ answers as documents, a few of one category in each, and the questions to them, be it in the other language."""
    chance, passages, questions = random.Random(7), list[StoredPassage](), list[Question]()
    for part in ("customer", "employee"):
        placed: dict[str, tuple[str, str, tuple[str, ...]]] = {}
        categories: dict[str, list[dict[str, Any]]] = {}
        for row in read(ROOT / f"apps/dialogue/demo/faqs_{part}.{documents}.jsonl"):
            categories.setdefault(row["category"], []).append(row)
        for category, rows in categories.items():
            chance.shuffle(rows)
            ends = [0]
            while ends[-1] < len(rows):
                ends.append(ends[-1] + chance.randint(1, 4))
            for start, end in pairwise(ends):
                id, topic = f"{part}-{category}-{start}", f"{part}-{category}"
                passages += cut(id, category, topic, "\n\n".join(row["answer"] for row in rows[start:end]))
                for row in rows[start:end]:
                    placed[row["id"]] = id, topic, tuple(row["answer"][a:b] for a, b in sentence_spans(row["answer"]) if b - a > 7)
        for row in read(ROOT / f"tests/quality/demo/gold_{part}.{asked}.jsonl"):
            if not row["relevant"] or row["relevant"][0] in placed:
                document, topic, sentences = placed[row["relevant"][0]] if row["relevant"] else ("", "", ())
                questions.append(Question(text=row["query"], answers=sentences, document=document, topic=topic))
    return f"demo {asked}" if documents is asked else f"demo {asked} to {documents}", passages, questions


def read_parallel(name: str, folder: Path, documents: Locale, asked: Locale) -> tuple[str, list[StoredPassage], list[Question]]:
    """A reading set in two languages, asked in the other one than its passages'; of its questions those about half of the articles."""
    rows = {row["id"]: row for row in read(folder / f"passages_{documents}.jsonl")}
    passages = [one for id, row in rows.items() for one in cut(id, row["title"].replace("_", " "), row["title"], row["text"])]
    questions = [
        Question(
            text=row[f"question_{asked}"],
            answers=tuple(row[f"answers_{documents}"]),
            document=row["passage_id"],
            topic=rows[row["passage_id"]]["title"],
        )
        for row in read(folder / "qa.jsonl")
    ]
    return f"{name} {asked} to {documents}", passages, [one for one in questions if in_half(one.topic)]


def in_half(topic: str) -> bool:
    """Whether a topic is of the half that is fitted on; the other one is left to measure with."""
    return zlib.crc32(topic.encode()) % 2 == 0


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def encoded(name: str, passages: Sequence[StoredPassage], questions: Sequence[Question], projection: TokenProjection) -> LabelledSet:
    """The set with its vectors; questions of which the encoder sees no token are left out."""
    stored = encode([passage_text(one.title, one.heading, one.text) for one in passages], Role.PASSAGE, projection)
    asked = encode([clean_text(one.text) for one in questions], Role.QUERY, projection)
    kept = [place for place, (_, rows) in enumerate(asked) if len(rows)]
    return LabelledSet(
        name=name,
        passages=[replace(one, id=place) for place, one in enumerate(passages)],
        questions=[questions[place] for place in kept],
        vectors=np.stack([vector for vector, _ in stored]),
        tokens=[quantize(rows) for _, rows in stored],
        asked_vectors=np.stack([asked[place][0] for place in kept]),
        asked_tokens=[asked[place][1] for place in kept],
    )


def encode(texts: Sequence[str], role: Role, projection: TokenProjection) -> list[tuple[FloatArray, FloatArray]]:
    """The vector of each text, and its tokens in the projection."""
    found: list[tuple[FloatArray, FloatArray]] = []
    for start in range(0, len(texts), 64):
        pairs = encoder().encode_tokens([simplify(text) for text in texts[start : start + 64]], role)
        found += [(vector, projection.project(rows)) for vector, rows in pairs]
    return found
