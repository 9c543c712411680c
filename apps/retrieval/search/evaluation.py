"""How good search and reading are on a set of questions: the `retrieval` and `reading` tasks of `evaluate`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from apps.retrieval.indexes.analysis import simplify
from apps.retrieval.models import Document, Passage
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.skill import FOUND, answer_of, read_hits
from apps.retrieval.vectors.encoding import encoder
from core.errors import InvalidRequest
from core.retrieval_evaluation import mean_scores, reading_scores, retrieval_scores
from core.significance import interval
from core.text import clean_text
from core.types import EncodedQuery, JSONDict, JSONValue, Role, Scope, SearchMode

CHUNK = 256
DEPTH = 20
FIRST = 5
LOOKED_UP = 500  # ids a query
RETRIEVAL_METRICS = tuple(retrieval_scores([], ()))
READING_METRICS = (*reading_scores("", ()), "answered")


@dataclass(frozen=True, slots=True)
class LabelledSearch:
    """A question and the ids of the documents or passages that are right."""

    query: str
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class LabelledReading:
    """A question and the answers that are accepted; none means that nothing answers it."""

    question: str
    answers: tuple[str, ...]


def parse_search(row: object) -> LabelledSearch:
    """Checks one row `{"query", "relevant": [id, …]}`."""
    if (
        not isinstance(row, dict)
        or not isinstance(row.get("query"), str)
        or not isinstance(row.get("relevant"), list)
        or not row["relevant"]
    ):
        raise InvalidRequest('A row is {"query": "…", "relevant": ["id", …]}, with at least one id.')
    return LabelledSearch(row["query"], frozenset(str(id) for id in row["relevant"]))


def parse_reading(row: object) -> LabelledReading:
    """Checks one row `{"question", "answers": [text, …]}`."""
    if not isinstance(row, dict) or not isinstance(row.get("question"), str) or not isinstance(row.get("answers"), list):
        raise InvalidRequest('A row is {"question": "…", "answers": ["…", …]}.')
    return LabelledReading(row["question"], tuple(str(answer) for answer in row["answers"]))


@dataclass(frozen=True, slots=True)
class Judged:
    """How one question was found: its scores in each mode, the place of the first right id (None beyond `DEPTH`), and the first ids."""

    scores: Mapping[SearchMode, dict[str, float]]
    places: Mapping[SearchMode, int | None]
    first: tuple[str, ...]


def judge_searches(rows: Sequence[LabelledSearch], scope: Scope) -> Iterator[Judged]:
    """Each question searched in every mode.

    A hit counts by the id of its document, or by its own where no document has that id: both may be numbers. Several passages
    of one document count once, where the first is.
    """
    documents = _documents_named({id for row in rows for id in row.relevant}, scope)
    for row, question in zip(rows, _encoded([row.query for row in rows]), strict=True):
        found: dict[SearchMode, list[str]] = {}
        passages = row.relevant - documents
        for mode in SearchMode:
            hits = search_passages(clean_text(row.query), question, scope, k=DEPTH, mode=mode).hits
            ids = (str(hit.passage.id) if str(hit.passage.id) in passages else hit.passage.document for hit in hits)
            found[mode] = list(dict.fromkeys(ids))
        yield Judged(
            scores={mode: retrieval_scores(ids, row.relevant) for mode, ids in found.items()},
            places={mode: next((place for place, id in enumerate(ids, 1) if id in row.relevant), None) for mode, ids in found.items()},
            first=tuple(found[SearchMode.HYBRID][:FIRST]),
        )


def evaluate_retrieval(rows: Sequence[LabelledSearch], scope: Scope) -> Iterator[int | JSONDict]:
    """Yields how many rows are done, then the report: the whole, words alone and vectors alone, with 95 % intervals of the whole.

    `unknown` are ids that are held for right and that neither a document nor a passage has: their rows count as not found.
    """
    scores: dict[SearchMode, list[dict[str, float]]] = {mode: [] for mode in SearchMode}
    for done, judged in enumerate(judge_searches(rows, scope), 1):
        for mode in SearchMode:
            scores[mode].append(judged.scores[mode])
        yield done
    unknown: list[JSONValue] = list(unknown_ids({id for row in rows for id in row.relevant}, scope))
    yield retrieval_report(scores) | ({"unknown": unknown} if unknown else {})


def unknown_ids(ids: Collection[str], scope: Scope) -> list[str]:
    """Those of the ids, in order, that neither a document nor a passage within the scope has."""
    rest = sorted(set(ids) - _documents_named(ids, scope))
    numbers = {int(id): id for id in rest if id.isascii() and id.isdigit() and len(id) <= 18}
    known: set[str] = set()
    for start in range(0, len(numbers), LOOKED_UP):
        some = list(numbers)[start : start + LOOKED_UP]
        found = Passage.objects.filter(pk__in=some, document__kb__in=scope.kb_ids).order_by().values_list("pk", flat=True)
        known.update(numbers[number] for number in found)
    return [id for id in rest if id not in known]


def retrieval_report(scores: Mapping[SearchMode, Sequence[dict[str, float]]]) -> JSONDict:
    """The report of judged questions, given the scores of each mode in the order of the questions."""
    parts: JSONDict = {mode.value: dict(mean_scores(scores[mode])) for mode in (SearchMode.LEXICAL, SearchMode.VECTOR)}
    return _report(scores[SearchMode.HYBRID], parts, main="recall_at_1")


def evaluate_reading(rows: Sequence[LabelledReading], scope: Scope) -> Iterator[int | JSONDict]:
    """Yields how many rows are done, then the report: what the `passage` skill shows, with only the question given.

    Questions without an accepted answer count by whether the skill stays silent; `parts` tells both kinds apart.
    """
    scores: list[dict[str, float]] = []
    kinds: dict[str, list[dict[str, float]]] = {"answerable": [], "unanswerable": []}
    encoded = _encoded([row.question for row in rows])
    for done, (row, question) in enumerate(zip(rows, encoded, strict=True), 1):
        text = clean_text(row.question)
        found = search_passages(text, question, scope, k=FOUND)
        asked = found.asked(text, question)
        reading = read_hits(asked.text, asked.encoded, scope, found.hits)
        shown = answer_of(reading)
        one = reading_scores(shown if row.answers or reading.accepted else "", row.answers)
        one["answered"] = float(reading.accepted)
        scores.append(one)
        kinds["answerable" if row.answers else "unanswerable"].append(one)
        yield done
    parts: JSONDict = {name: dict(mean_scores(some)) for name, some in kinds.items() if some and len(some) < len(scores)}
    yield _report(scores, parts, main="answer_found")


def _report(scores: Sequence[dict[str, float]], parts: JSONDict, *, main: str) -> JSONDict:
    """The means, their 95 % intervals, and each question's scores of the `main` metric for comparing runs."""
    metrics = mean_scores(scores)
    intervals: JSONDict = {name: [round(end, 4) for end in interval([row[name] for row in scores])] for name in metrics}
    questions: list[JSONValue] = [row[main] for row in scores]
    return {"metrics": dict(metrics), "parts": parts, "intervals": intervals, "compared_by": main, "questions": questions}


def _documents_named(ids: Collection[str], scope: Scope) -> set[str]:
    """Those of the ids that documents within the scope have."""
    wanted, found = sorted(id for id in ids if "\x00" not in id), set[str]()  # PostgreSQL refuses to be asked for that
    for start in range(0, len(wanted), LOOKED_UP):
        rows = Document.objects.filter(kb__in=scope.kb_ids, external_id__in=wanted[start : start + LOOKED_UP]).order_by()
        found.update(rows.values_list("external_id", flat=True))
    return found


def _encoded(texts: Sequence[str]) -> Iterator[EncodedQuery]:
    """The questions as a turn would encode them, in batches."""
    model = encoder()
    for start in range(0, len(texts), CHUNK):
        batch = [simplify(clean_text(text)) for text in texts[start : start + CHUNK]]
        began = time.perf_counter()
        pairs = model.encode_tokens(batch, Role.QUERY)
        ms = (time.perf_counter() - began) * 1000 / len(batch)
        for vector, tokens in pairs:
            yield EncodedQuery(encoder=model.model_id, vector=vector, token_vectors=tokens, encode_ms=ms)
