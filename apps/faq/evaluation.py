"""How good FAQ matching is on a set of questions: the `faq` and `abstain` tasks of `evaluate`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apps.faq.matching import match_faqs, rank_by_one_index
from apps.retrieval.indexes.analysis import simplify
from apps.retrieval.vectors.encoding import encoder
from core.errors import InvalidRequest
from core.evaluation import Claim, abstention_metrics, ranking_metrics
from core.text import clean_text, guess_locale, normalize
from core.types import EncodedQuery, JSONDict, Query, Role, Scope, SearchMode

CHUNK = 256
FAQ_METRICS = tuple(ranking_metrics([], []))
ABSTAIN_METRICS = tuple(abstention_metrics([]))


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A question and the ids that are right; none means that no answer is."""

    query: str
    relevant: frozenset[str]


def parse_labelled(row: object) -> LabelledQuery:
    """Checks one row `{"query", "relevant": [id, …]}`."""
    if not isinstance(row, dict) or not isinstance(row.get("query"), str) or not isinstance(row.get("relevant"), list):
        raise InvalidRequest('A row is {"query": "…", "relevant": ["id", …]}.')
    return LabelledQuery(row["query"], frozenset(str(id) for id in row["relevant"]))


def evaluate_faq(rows: Sequence[LabelledQuery], scope: Scope) -> Iterator[int | JSONDict]:
    """Yields how many rows are done, then the report: the ranking's metrics, and those of words and of vectors alone.

    A row without a right answer has no right place: it is left out, and `left_out` counts it (`evaluate_abstain` measures it).
    """
    answerable = [row for row in rows if row.relevant]
    left_out = len(rows) - len(answerable)
    found: dict[SearchMode, list[list[str]]] = {mode: [] for mode in SearchMode}
    for query in _queries(answerable, scope):
        found[SearchMode.HYBRID].append([one.external_id for one in match_faqs(query).faqs])
        for mode in (SearchMode.LEXICAL, SearchMode.VECTOR):
            found[mode].append(rank_by_one_index(query, mode))
        yield left_out + len(found[SearchMode.HYBRID])
    relevant = [row.relevant for row in answerable]
    yield {
        "left_out": left_out,
        "metrics": dict(ranking_metrics(found[SearchMode.HYBRID], relevant)),
        "parts": {mode.value: dict(ranking_metrics(found[mode], relevant)) for mode in (SearchMode.LEXICAL, SearchMode.VECTOR)},
    }


def evaluate_abstain(rows: Sequence[LabelledQuery], scope: Scope) -> Iterator[int | JSONDict]:
    """Yields how many rows are done, then the report: how well answers are withheld."""
    claims = []
    for row, query in zip(rows, _queries(rows, scope), strict=True):
        matches = match_faqs(query)
        right = bool(matches.faqs) and matches.faqs[0].external_id in row.relevant
        claims.append(Claim(matches.confidence, matches.accepted, right, bool(row.relevant)))
        yield len(claims)
    yield {"metrics": dict(abstention_metrics(claims)), "parts": {}}


def _queries(rows: Sequence[LabelledQuery], scope: Scope) -> Iterator[Query]:
    """The questions as a turn would understand them, encoded in batches."""
    model = encoder()
    for start in range(0, len(rows), CHUNK):
        texts = [clean_text(row.query) for row in rows[start : start + CHUNK]]
        began = time.perf_counter()
        encoded = model.encode_tokens([simplify(text) for text in texts], Role.QUERY)
        ms = (time.perf_counter() - began) * 1000 / len(texts)
        for text, (vector, tokens) in zip(texts, encoded, strict=True):
            yield Query(
                text=text,
                normalized=normalize(text),
                locale=guess_locale(text),
                scope=scope,
                turn="evaluate",
                encoded=EncodedQuery(encoder=model.model_id, vector=vector, token_vectors=tokens, encode_ms=ms),
            )
