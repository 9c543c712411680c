"""How sure must the `passage` skill be of an answer? Fits its confidence and its threshold for the encoder in use.

    python bench/fit_answers.py --english FOLDER --chinese FOLDER --parallel FOLDER [--questions 700] [--only across] [--write]

Fitted on four sets: the demo's FAQ answers put together into documents of one to four, with the held-out questions to the demo
(people's words, not those of a passage), in Chinese and English; half of the articles of the English folder (by hash of the
title; the other half is left to measure with); all of the Chinese one. The folders hold `passages.jsonl` and `qa.jsonl` of
reading comprehension (for cmrc2018 the `train_` files). Each question is asked of all of its set and of small bases (a few passages
in a row of some topics), with its answer there, with the passages that hold it taken away, and with all documents of its topic
taken away; questions written to be unanswerable stay so. Tiny bases, of one to three passages, are only measured.
Right is an answer whose sentences hold the accepted one. The threshold is the least confidence at which at most `MOST_FALSE` of
the questions whose answer is not there would be answered, the four sets counting alike; those written to look answerable are
reported, not counted. Figures that are printed come from five folds by topic. `--write` puts the fit into the encoder's file.

Answers in another language than their question have a fit of their own, made in the same way: the demo's documents with the
questions of its other language, and half of the articles of the parallel folder (`passages_en.jsonl`, `passages_zh.jsonl` and
`qa.jsonl` with questions and answers in both, as xquad), asked both ways. `--only` makes one of the two.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FOLDER = tempfile.TemporaryDirectory(prefix="wenlu-bench-")
os.environ.setdefault("QA_MODEL_DIR", str(Path(os.environ.get("QA_DATA_DIR") or ROOT / "var") / "models"))
os.environ["QA_DATA_DIR"] = FOLDER.name
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")

import django  # noqa: E402
import numpy as np  # noqa: E402

django.setup()

from apps.retrieval.documents.passages import passage_text  # noqa: E402
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex  # noqa: E402
from apps.retrieval.search.answering import READ, Reading, read_answer  # noqa: E402
from apps.retrieval.search.confidence import COMPARED_SENTENCES  # noqa: E402
from apps.retrieval.search.fusion import WINDOW, AnswerFit, Fusion, Scored, dump_fusion, fuse, load_fusion  # noqa: E402
from apps.retrieval.search.hybrid import RERANKED, PassageHit  # noqa: E402
from apps.retrieval.search.proposals import POOL  # noqa: E402
from apps.retrieval.search.tokens_met import QuestionTokens  # noqa: E402
from apps.retrieval.skill import FOUND  # noqa: E402
from apps.retrieval.vectors.encoding import encoder  # noqa: E402
from apps.retrieval.vectors.token_vectors import TokenProjection, load_projection  # noqa: E402
from bench.answer_sets import LabelledSet, Question, encoded, read_comprehension, read_demo, read_parallel  # noqa: E402
from core.maxsim import maxsim_near  # noqa: E402
from core.retrieval_evaluation import answer_pieces, reading_scores  # noqa: E402
from core.text import clean_text  # noqa: E402
from core.types import EntryKind, FloatArray, IndexEntry, Locale, Scope  # noqa: E402

NAMES = ("cosine", "near_above", "sentence_above")
MOST_FALSE = 0.08
SHARES = {"there": 1.0, "taken away": 0.6, "unrelated": 0.3, "written": 0.4}  # of the fit, within a set
FITTED_SHAPES = ("all", "small")
TYPICAL = 200  # questions of each set
SMALL_BASES, TINY_BASES = 50, 30
FOLDS = 5
SCOPE = Scope(kb_ids=(1,))
FUSIONS = ROOT / "apps" / "retrieval" / "search" / "fusions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One question asked of one base: the evidence, whether the answer shown is right, and how it was asked."""

    set: str
    shape: str
    kind: str
    topic: str
    evidence: tuple[float, ...]
    right: bool


class Base:
    """A knowledge base of some of a set's passages, searched as `search_passages` does."""

    def __init__(self, data: LabelledSet, kept: Sequence[int], projection: TokenProjection, fusion: Fusion) -> None:
        self.data, self.kept, self.projection, self.fusion = data, sorted(set(kept)), projection, fusion
        self._folder = tempfile.TemporaryDirectory(dir=FOLDER.name)
        self._words = EmbeddedLexicalIndex(EntryKind.PASSAGE, folder=Path(self._folder.name))
        texts = {place: data.passages[place] for place in self.kept}
        with self._words.exclusive(1):
            self._words.put(1, [IndexEntry(id=id, text=passage_text(one.title, one.heading, one.text)) for id, one in texts.items()])
            self._words.refresh(1, 1)

    def ask(self, number: int, shape: str, kind: str, without: frozenset[int] = frozenset()) -> Iterator[Row]:
        """The question's row, none where nothing is found or where an answer is found that should not be there."""
        question = self.data.questions[number]
        hits = self.find(number, without)
        reading = best_sentences(self.data, number, hits, self.projection, self.fusion)
        shown = " ".join(one.text for one in reading.sentences)
        right = bool(question.answers and reading_scores(shown, question.answers)["answer_found"])
        if reading.sentences and (kind == "there" or not right):
            evidence = tuple(reading.reasons[name] for name in NAMES)
            yield Row(set=self.data.name, shape=shape, kind=kind, topic=question.topic, evidence=evidence, right=right)

    def find(self, number: int, without: frozenset[int] = frozenset()) -> list[PassageHit]:
        """The first passages for the question."""
        text = clean_text(self.data.questions[number].text)
        cosines = dict(zip(self.kept, (self.data.vectors[self.kept] @ self.data.asked_vectors[number]).tolist(), strict=True))
        words = [hit for hit in self._words.search(text, POOL + len(without), SCOPE) if hit.id not in without][:POOL]
        near = [id for id in sorted(cosines, key=lambda id: -cosines[id]) if id not in without][:POOL]
        bm25 = {hit.id: hit.score for hit in words}
        found = [Scored(id, cosines[id], bm25.get(id, 0.0)) for id in dict.fromkeys([*near, *bm25])]
        if not found:
            return []
        head = [found[place] for place in np.argsort(-fuse(found, self.fusion), kind="stable")[:RERANKED]]
        return compared(self.data, number, head, self.projection, self.fusion)[:FOUND]


def compared(data: LabelledSet, number: int, head: Sequence[Scored], projection: TokenProjection, fusion: Fusion) -> list[PassageHit]:
    """The candidates as hits in the order of all that is known of them, token vectors included."""
    rows = data.asked_tokens[number]
    pairs = maxsim_near(rows, [data.tokens[one.id] for one in head], window=WINDOW, query_weights=projection.informativeness(rows))
    head = [one._replace(met=float(whole), near=float(part)) for one, whole, part in zip(head, *pairs, strict=True)]
    scores = fuse(head, fusion)
    return [
        PassageHit(
            passage=data.passages[head[place].id], score=float(scores[place]), cosine=head[place].cosine, bm25=head[place].bm25,
            met=head[place].met, near=head[place].near,
        )
        for place in np.argsort(-scores, kind="stable")
    ]  # fmt: skip


def best_sentences(data: LabelledSet, number: int, hits: Sequence[PassageHit], projection: TokenProjection, fusion: Fusion) -> Reading:
    """What the skill reads out of the hits."""
    tokens = {hit.passage.id: data.tokens[hit.passage.id] for hit in hits[:READ]}
    asked = QuestionTokens(rows=data.asked_tokens[number], projection=projection, passages=tokens)
    return read_answer(clean_text(data.questions[number].text), hits, asked, fusion)


def rows_of(data: LabelledSet, count: int, projection: TokenProjection, fusion: Fusion) -> Iterator[Row]:
    """The set's questions asked of every kind of base."""
    chance = random.Random(data.name)
    order = chance.sample(range(len(data.questions)), len(data.questions))
    there = [number for number in order if data.questions[number].answers][:count]
    written = [number for number in order if not data.questions[number].answers][:count]
    holding = {number: holders(data, data.questions[number]) for number in there}
    whole = Base(data, range(len(data.passages)), projection, fusion)
    for number in there:
        topic = frozenset(one.id for one in data.passages if one.category == data.questions[number].topic)
        yield from whole.ask(number, "all", "there")
        yield from whole.ask(number, "all", "taken away", holding[number])
        yield from whole.ask(number, "all", "unrelated", topic)
    for number in written:
        yield from whole.ask(number, "all", "written")
    for place in range(SMALL_BASES + TINY_BASES):
        tiny = place >= SMALL_BASES
        asked = chance.sample(there, chance.randint(1, 3)) if tiny else []
        kept = {id for number in asked for id in holding[number]} if tiny else neighbours(data, chance)
        base = Base(data, sorted(kept), projection, fusion)
        topics = {data.passages[id].category for id in kept}
        documents = {data.passages[id].document for id in kept}
        inside = asked or chance.sample(own := [number for number in there if holding[number] <= kept], min(len(own), 12))
        others = [number for number in there if not holding[number] & kept]
        sides = {
            "there": inside,
            "taken away": [number for number in others if data.questions[number].topic in topics],
            "unrelated": [number for number in others if data.questions[number].topic not in topics],
            "written": [number for number in written if data.questions[number].document in documents],
        }
        for kind, numbers in sides.items():
            for number in chance.sample(numbers, min(len(numbers), 8)):
                yield from base.ask(number, "tiny" if tiny else "small", kind)
        for number in inside[:5] if not tiny else []:
            yield from base.ask(number, "small", "taken away", holding[number])


def neighbours(data: LabelledSet, chance: random.Random) -> set[int]:
    """The passages of a small base: three to eight in a row of each of a few topics."""
    topics: dict[str, list[int]] = {}
    for one in data.passages:
        topics.setdefault(one.category, []).append(one.id)
    few = chance.choice((3, 5, 8)) if len(data.passages) > 3 * len(topics) else chance.choice((6, 12, 20))
    kept = set[int]()
    for topic in chance.sample(sorted(topics), few):
        length = chance.randint(3, 8)
        start = chance.randint(0, max(0, len(topics[topic]) - length))
        kept.update(topics[topic][start : start + length])
    return kept


def holders(data: LabelledSet, question: Question) -> frozenset[int]:
    """The passages of the question's document that hold an accepted answer; all of them where none does in one piece."""
    own = [one for one in data.passages if one.document == question.document]
    holding = {one.id for one in own if reading_scores(one.text, question.answers)["answer_found"] and answer_pieces(one.text)}
    return frozenset(holding or {one.id for one in own})


def weights_of_rows(rows: Sequence[Row]) -> FloatArray:
    """float32[rows]: every set alike, in it every kind by its share, in it every shape alike."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        counts[row.set, row.kind, row.shape] = counts.get((row.set, row.kind, row.shape), 0) + 1
    shapes = {(set, kind): sum((set, kind, shape) in counts for shape in FITTED_SHAPES) for set, kind, _ in counts}
    return np.array([SHARES[row.kind] / counts[row.set, row.kind, row.shape] / shapes[row.set, row.kind] for row in rows], dtype=np.float64)


def fit_logit(rows: Sequence[Row]) -> tuple[FloatArray, float]:
    """Coefficients and intercept of a logistic regression, by Newton's method."""
    features = np.array([row.evidence for row in rows], dtype=np.float64)
    labels, weights = np.array([row.right for row in rows], dtype=np.float64), weights_of_rows(rows)
    columns, solution = np.column_stack([features, np.ones(len(rows))]), np.zeros(len(NAMES) + 1)
    for _ in range(25):
        chance = 1 / (1 + np.exp(-(columns @ solution)))
        curvature = columns.T @ (columns * (weights * chance * (1 - chance))[:, None])
        solution = solution - np.linalg.solve(curvature + 1e-9 * np.eye(len(solution)), columns.T @ (weights * (chance - labels)))
    return solution[:-1], float(solution[-1])


def held_out(rows: Sequence[Row]) -> FloatArray:
    """float64[rows]: each row's confidence by a fit that has not seen its topic."""
    folds = np.array([zlib.crc32(row.topic.encode()) % FOLDS for row in rows])
    features, found = np.array([row.evidence for row in rows]), np.zeros(len(rows))
    for fold in range(FOLDS):
        coefficients, intercept = fit_logit(
            [row for row, own in zip(rows, folds, strict=True) if own != fold and row.shape in FITTED_SHAPES]
        )
        found[folds == fold] = 1 / (1 + np.exp(-(features[folds == fold] @ coefficients + intercept)))
    return found


def least_confidence(rows: Sequence[Row], confidence: FloatArray) -> float:
    """The least at which at most `MOST_FALSE` of the questions whose answer is not there are answered, rounded up to a hundredth."""
    absent = np.array([row.kind in ("taken away", "unrelated") for row in rows])
    weights = weights_of_rows(rows)[absent]
    order = np.argsort(-confidence[absent])
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(np.ceil(confidence[absent][order][int(np.searchsorted(reached, MOST_FALSE))] * 100) / 100)


def figures(rows: Sequence[Row], confidence: FloatArray, threshold: float) -> dict[str, dict[str, float]]:
    """For each set and shape: shares of questions answered, and of those whose answer is there found and answered wrongly."""
    taken, table = confidence >= threshold, dict[str, dict[str, float]]()
    for name in dict.fromkeys((row.set, row.shape) for row in rows):
        own = [place for place, row in enumerate(rows) if (row.set, row.shape) == name]
        line = {kind: share([taken[place] for place in own if rows[place].kind == kind]) for kind in SHARES}
        there = [place for place in own if rows[place].kind == "there"]
        line |= {"found": share([rows[p].right for p in there]), "wrong": share([taken[p] and not rows[p].right for p in there])}
        table[" ".join(name)] = {key: value for key, value in line.items() if value is not None}
    return table


def share(flags: Sequence[bool]) -> float | None:
    return round(float(np.mean(flags)), 3) if flags else None


def typical_values(sets: Sequence[LabelledSet], projection: TokenProjection, fusion: Fusion) -> dict[str, float]:
    """The means, over questions to whole sets, of the second to the last passage's `near` and of such sentences' scores."""
    weighing = replace(fusion, answers=replace(fusion.answers, confidence={"sentence_above": 1.0}, typical={}))
    near, sentences = list[float](), list[float]()
    for data in sets:
        base = Base(data, range(len(data.passages)), projection, weighing)
        for number in random.Random(11).sample(range(len(data.questions)), min(len(data.questions), TYPICAL)):
            hits = base.find(number)
            reading = best_sentences(data, number, hits, projection, weighing)
            near += [hit.near for hit in hits[1:] if hit.near is not None]
            best = max(one.score for one in reading.sentences)
            sentences.append((best - reading.reasons["sentence_above"]) * COMPARED_SENTENCES / (COMPARED_SENTENCES - 1))
    return {"near": round(float(np.mean(near)), 2), "sentence": round(float(np.mean(sentences)), 2)}


def fitted(sets: Sequence[LabelledSet], count: int, projection: TokenProjection, fusion: Fusion) -> tuple[AnswerFit, dict[str, Any]]:
    """The fit on these sets, and what it is worth."""
    typical = typical_values(sets, projection, fusion)
    weighing = replace(fusion.answers, confidence=dict.fromkeys(NAMES, 1.0), typical=typical)  # reasons are then the evidence itself
    rows = [row for data in sets for row in rows_of(data, count, projection, replace(fusion, answers=weighing))]
    fitting = [row for row in rows if row.shape in FITTED_SHAPES]
    coefficients, intercept = fit_logit(fitting)
    threshold = least_confidence(fitting, held_out(fitting))
    fit = replace(
        fusion.answers,
        confidence=dict(zip(NAMES, coefficients.round(3).tolist(), strict=True)),
        intercept=round(intercept, 3),
        threshold=threshold,
        typical=typical,
    )
    return fit, {"fit": asdict(fit), "rows": len(rows), "held_out": figures(rows, held_out(rows), threshold)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--english", type=Path, required=True)
    parser.add_argument("--chinese", type=Path, required=True)
    parser.add_argument("--parallel", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=700, help="so many of each set and kind")
    parser.add_argument("--only", choices=["answers", "across"], help="one of the two fits")
    parser.add_argument("--write", action="store_true", help="put the fit into the file of the encoder's weights")
    options = parser.parse_args()
    projection, fusion = load_projection(encoder().model_id), load_fusion(encoder().model_id)
    if projection is None or not fusion.encoder:
        sys.exit("bench: there are no token vectors or no weights of passages for this encoder.")
    pairs = [(documents, asked) for documents in Locale for asked in Locale if documents is not asked]
    read_sets = {
        "answers": lambda: [
            *(read_demo(locale, locale) for locale in Locale),
            read_comprehension(options.english.name, options.english, half=True),
            read_comprehension(options.chinese.name, options.chinese, half=False),
        ],
        "across": lambda: [
            *(read_demo(*pair) for pair in pairs),
            *(read_parallel(options.parallel.name, options.parallel, *pair) for pair in pairs),
        ],
    }
    one_fit = replace(fusion, across=None)  # what is fitted weighs every question
    for name in [options.only] if options.only else read_sets:
        sets = [encoded(*one, projection) for one in read_sets[name]()]
        fit, worth = fitted(sets, options.questions, projection, one_fit)
        print(json.dumps({name: worth}, indent=1), flush=True)
        on = {f"{name}_fitted_on": sorted(data.name for data in sets), "answers_command": "bench/fit_answers.py"}
        fusion = replace(fusion, provenance={**fusion.provenance, **on}, **{name: fit})
    if options.write:
        [path] = [path for path in FUSIONS.glob("*.json") if json.loads(path.read_text(encoding="utf-8"))["encoder"] == fusion.encoder]
        path.write_text(dump_fusion(fusion), encoding="utf-8")


if __name__ == "__main__":
    main()
