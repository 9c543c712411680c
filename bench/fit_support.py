"""Which similarity makes a source support a sentence? Fits what `apps.retrieval.grounding.support` weighs, for the encoder in use.

    python bench/fit_support.py --english FOLDER --chinese FOLDER --out apps/retrieval/grounding/supports/NAME.json

The folders hold `passages.jsonl` and `qa.jsonl` of reading comprehension (for cmrc2018 the `train_` files). Sentences that are supported: English
questions with their answer in the place of the question word ("Who wrote it?" and "Poe" become "Poe wrote it"), and sentences of the
passage with a clause left out. Not supported: the same with the answer to another question about the passage, with a word in place of another one of
the same passage, with a clause of another passage, broken off within a clause, begun within one, or without some words from within one. Each is held against the places of its passage as an answer's sentence is. Nothing
of what `bench/grounding.py` measures is among them. On one half the least values are chosen that accept the most supported sentences while
at least `--precision` of the accepted ones are supported; the other half says how good they are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
FOLDER = tempfile.TemporaryDirectory(prefix="wenlu-bench-")
os.environ["QA_DATA_DIR"] = FOLDER.name
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")

import django  # noqa: E402
import numpy as np  # noqa: E402

django.setup()

from apps.retrieval.grounding.places import Place, content_terms, is_denial, names_in, numbers_in, places_of_text  # noqa: E402
from apps.retrieval.grounding.support import SupportFit, dump_support, features_of  # noqa: E402
from apps.retrieval.indexes.analysis import chinese_words, simplify  # noqa: E402
from apps.retrieval.vectors.encoding import encoder  # noqa: E402
from core.sentences import sentence_spans  # noqa: E402
from core.types import FloatArray, Role  # noqa: E402

NAMES = ("words", "order", "pairs", "starts", "ends", "cosine")
WORDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 1.0)
ORDERS = (0.0, 0.6, 0.7, 0.8, 0.9)
PAIRS = (0.0, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
STARTS = ENDS = (0.0, 1.0)
COSINES = (0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92)
FEWEST = 30
MAX_PAIRS = 700


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence, the passage that it is held against, and whether that supports it."""

    sentence: str
    passage: str
    supported: bool


def answered_questions(passages: dict[str, str], questions: Sequence[dict[str, Any]]) -> Iterator[Pair]:
    """Questions made statements by their answer, and by the answer to another question about the same passage."""
    answers: dict[str, list[str]] = {}
    for row in questions:
        if row["answers"]:
            answers.setdefault(row["passage_id"], []).append(row["answers"][0])
    for row in questions:
        own = row["answers"]
        if not own or row["passage_id"] not in passages:
            continue
        others = [one for one in answers[row["passage_id"]] if one not in own and not any(one in good or good in one for good in own)]
        for answer, supported in [(own[0], True), *((one, False) for one in CHANCE.sample(others, min(1, len(others))))]:
            statement = as_statement(row["question"], answer)
            if statement:
                yield Pair(statement, passages[row["passage_id"]], supported)


def as_statement(question: str, answer: str) -> str:
    """The question with the answer in the place of its question word; empty where that makes no sentence."""
    found = _WHO.match(question)
    return f"{answer} {found[1].rstrip('? ')}." if found else ""


def changed_sentences(texts: Sequence[str]) -> Iterator[Pair]:
    """Sentences of texts, shortened (supported), and with a word or a clause that does not belong there (not supported)."""
    for place, text in enumerate(texts):
        sentences = [text[start:end] for start, end in sentence_spans(text) if 12 <= end - start <= 200]
        words = [word for sentence in sentences for word in content_words(sentence)]
        if len(sentences) < 3 or len(set(words)) < 12:
            continue
        sentence = CHANCE.choice(sentences)
        clauses = re.split(r"(?<=[,，;；])", sentence)
        kept = "".join(clauses[: max(1, len(clauses) - 1)]).rstrip(",，;； ") if CHANCE.random() < 0.7 else sentence
        yield Pair(kept, text, True)
        own, foreign = content_words(kept), [word for word in words if word not in sentence]
        if own and foreign:
            yield Pair(kept.replace(CHANCE.choice(own), CHANCE.choice(foreign)), text, False)
        yield from (Pair(broken, text, False) for broken in broken_sentences(sentence))
        other = CHANCE.choice(re.split(r"(?<=[,，;；。.])", texts[(place + 7) % len(texts)])).strip()
        if len(other) > 5:
            yield Pair(sentence.rstrip("。.") + ("，" if chinese_words(sentence[:3]) else ", ") + other, text, False)


def broken_sentences(sentence: str) -> Iterator[str]:
    """The sentence broken off within a clause, without its beginning, and without some words from within: none says what it said."""
    inside = [found.start() for found in re.finditer(r"(?<=[a-z]) (?=[a-z])|(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])", sentence)]
    if len(inside) < 8:
        return
    end = CHANCE.choice(inside[4:-2])
    yield sentence[:end] + ("。" if chinese_words(sentence[:3]) else ".")
    yield sentence[CHANCE.choice(inside[2:-4]) :].lstrip()
    first = CHANCE.randrange(2, len(inside) - 4)
    last = first + CHANCE.choice((1, 2, 3))
    if not re.search(r"[,，、;；:：]", sentence[inside[first] : inside[last]]):
        yield sentence[: inside[first]] + sentence[inside[last] :]


def content_words(sentence: str) -> list[str]:
    """Words that carry meaning: two Han characters or more, or five letters or more."""
    han = [word for run in re.findall(r"[\u4e00-\u9fff]+", sentence) for word in chinese_words(run) if len(word) > 1]
    return han + re.findall(r"\b[a-z]{5,}\b", sentence)


def features_of_pairs(pairs: Sequence[Pair]) -> tuple[FloatArray, FloatArray]:
    """float32[n, features] and float32[n] labels: each sentence beside the best place that the rules leave; others are not weighed."""
    near = [(pair, place) for pair in pairs if (place := best_place(pair)) is not None]
    texts = list(dict.fromkeys(text for pair, place in near for text in (pair.sentence, place.text)))
    rows = encoder().encode([simplify(text) for text in texts], Role.QUERY)
    number = {text: row for row, text in enumerate(texts)}
    found = []
    for pair, place in near:
        features = features_of(content_terms(pair.sentence), place, float(rows[number[pair.sentence]] @ rows[number[place.text]]))
        found.append([features[name] for name in NAMES])
    return np.array(found, dtype=np.float32), np.array([pair.supported for pair, _ in near], dtype=np.float32)


def best_place(pair: Pair) -> Place | None:
    """The place of the passage that a sentence is most like, of those with its numbers and names."""
    numbers, names, denies = numbers_in(pair.sentence), names_in(pair.sentence), is_denial(pair.sentence)
    terms = content_terms(pair.sentence)
    fitting = [
        place for place in _places(pair.passage) if numbers <= place.numbers and names <= place.names and place.denies == denies
    ]  # fmt: skip
    if not fitting or not terms:
        return None
    return max(fitting, key=lambda place: sum(features_of(terms, place, None).values()))


@cache
def _places(passage: str) -> tuple[Place, ...]:
    return tuple(places_of_text(passage))


def best_least(features: FloatArray, labels: FloatArray, precision: float) -> dict[str, float]:
    """The least values that accept the most supported sentences, of those where that share of the accepted is supported; of equals the highest."""
    best, found = 0.0, dict.fromkeys(NAMES, 1.0)
    for least in product(WORDS, ORDERS, PAIRS, STARTS, ENDS, COSINES):
        accepted = (features >= np.array(least)).all(axis=1)
        if accepted.sum() < FEWEST or labels[accepted].mean() < precision:
            continue
        recall = float(accepted[labels == 1].mean())
        if recall >= best:
            best, found = recall, dict(zip(NAMES, least, strict=True))
    return found


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def pairs_of(folder: Path) -> list[Pair]:
    """All pairs of one folder."""
    prefix = "train_" if (folder / "train_qa.jsonl").is_file() else ""
    passages = {row["id"]: row["text"] for row in read(folder / f"{prefix}passages.jsonl")}
    texts = [*passages.values()]
    return [
        *list(answered_questions(passages, read(folder / f"{prefix}qa.jsonl")))[:MAX_PAIRS],
        *list(changed_sentences(texts[:250])),
    ]


_WHO = re.compile(
    r"(?:Who|What company|Which company|What country|Which country) (?!did|does|do|was|were|is|are|has|had|have|can|could|would|will|should)(.+)"
)
CHANCE = random.Random(26)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--english", type=Path, required=True)
    parser.add_argument("--chinese", type=Path, required=True)
    parser.add_argument("--precision", type=float, default=0.92)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    parts = {"english": pairs_of(options.english), "chinese": pairs_of(options.chinese)}
    pairs = [pair for part in parts.values() for pair in part]
    CHANCE.shuffle(pairs)
    features, labels = features_of_pairs(pairs)
    half = len(labels) // 2
    least = best_least(features[:half], labels[:half], options.precision)
    accepted = (features[half:] >= np.array([least[name] for name in NAMES])).all(axis=1)
    provenance = {
        "fitted_on": {name: len(part) for name, part in parts.items()},
        "left_by_rules": len(labels),
        "held_out": {
            "pairs": len(labels) - half,
            "precision": round(float(labels[half:][accepted].mean()), 4) if accepted.any() else 0.0,
            "recall": round(float(accepted[labels[half:] == 1].mean()), 4),
        },
        "decisions": ["docs/adr/0026-written-answers.md"],
    }
    fit = SupportFit(
        encoder=encoder().model_id,
        least=least,
        provenance=provenance,
    )
    options.out.write_text(dump_support(fit), encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
