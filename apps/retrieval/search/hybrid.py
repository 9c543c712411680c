"""Which passages answer a question, best first? What the indexes propose, in the order of fitted weights, token vectors and a reranker."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.outbox.follower import follower
from apps.retrieval.query_layer.layer import readings
from apps.retrieval.search.fusion import WINDOW, Fusion, Scored, fuse, load_fusion
from apps.retrieval.search.nearest import document_searches, encode_question_if_possible
from apps.retrieval.search.proposals import POOL, propose
from apps.retrieval.search.stored_passages import PassageFacts, StoredPassage, read_facts, read_passages
from apps.retrieval.selectors import stored_tokens
from apps.retrieval.vectors.token_vectors import load_projection, unpack_tokens
from core.backends import get_backend
from core.config import get_settings
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded, SearchUnavailable
from core.maxsim import maxsim_near
from core.protocols import Reranker
from core.types import NO_FILTERS, EncodedQuery, EntryKind, Filters, Scope, SearchMode

log = logging.getLogger(__name__)

RERANKED = 20  # how many of the first are compared with more care
READING_COST = 0.05  # how much better another reading of a question must fit: most words that no entry has are right as they were typed


@dataclass(frozen=True, kw_only=True, slots=True)
class PassageHit:
    """A passage that was found. `score` grows with relevance and compares hits of one search only; the rest says where it comes from.

    `cosine`, `met` and `near` (MaxSim over token vectors, of the whole passage and of its best window) are None where they are
    not known, `reranked` where no reranker looked at it. `question` is the extra question that found it too, where
    one did: by its words, or better than the passage itself by its vector.
    """

    passage: StoredPassage
    score: float
    cosine: float | None
    bm25: float
    met: float | None = None
    near: float | None = None
    reranked: float | None = None
    question: int | None = None


class Asked(NamedTuple):
    """A question in words, and encoded where that could be had."""

    text: str
    encoded: EncodedQuery | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """Hits, best first. `degraded` says that part of the machinery was not there: vectors, words or the reranker.

    `read_as` is the question as the query layer reads it, where the first hit was found by that and not as it was asked.
    """

    hits: tuple[PassageHit, ...] = ()
    degraded: bool = False
    read_as: Asked | None = None

    def asked(self, text: str, encoded: EncodedQuery | None) -> Asked:
        """What the hits answer, of a question that was asked so: its sentences are chosen by that too."""
        return self.read_as or Asked(text, encoded)


def search_passages(
    text: str,
    encoded: EncodedQuery | None,
    scope: Scope,
    *,
    k: int = 10,
    filters: Filters = NO_FILTERS,
    mode: SearchMode = SearchMode.HYBRID,
) -> SearchResult:
    """Up to `k` published passages within the scope that its groups may see and the filters admit, best first.

    The indexes first catch up with the revisions of the scope. Without an encoded question, or where another encoder built
    the index, words alone search. Where the question has words that no entry has and the query layer knows others for them, it is
    searched as it reads then, too. Raises ModelUnavailable where vectors alone were asked for and cannot be had, and
    SearchUnavailable where no index can be reached.
    """
    found = _ranked(text, encoded, scope, pool=max(POOL, k), filters=filters, mode=mode)
    hits = read_hits(found.ordered[:k], scope)
    if len(hits) < k < len(found.ordered):  # the indexes may hold what was unpublished a moment ago
        hits += read_hits(found.ordered[k:], scope)
    return SearchResult(hits=hits[:k], degraded=found.degraded, read_as=found.read_as)


class Ranked(NamedTuple):
    """A candidate with the score that orders it."""

    scored: Scored
    score: float
    reranked: float | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates that may be shown now, best first, with the facts of each by its id."""

    ranked: list[Ranked]
    facts: Mapping[int, PassageFacts]
    degraded: bool


@dataclass(frozen=True, slots=True)
class Order:
    """All candidates, best first; which of them may be shown is not known yet."""

    ordered: list[Ranked]
    degraded: bool
    read_as: Asked | None = None


def rank_passages(
    text: str,
    encoded: EncodedQuery | None,
    scope: Scope,
    *,
    k: int,
    filters: Filters = NO_FILTERS,
    mode: SearchMode = SearchMode.HYBRID,
) -> Ranking:
    """As `search_passages`, with no more of each passage than it is counted, grouped and sorted by: a quarter of the work for a hundred."""
    found = _ranked(text, encoded, scope, pool=max(POOL, k), filters=filters, mode=mode)
    return Ranking(*_published(found.ordered, k, scope), found.degraded)


def _ranked(text: str, encoded: EncodedQuery | None, scope: Scope, *, pool: int, filters: Filters, mode: SearchMode) -> Order:
    """The candidates of the question as it was asked and, in a hybrid search, as it may be read; each with the best of its scores."""
    best = _ranked_as(Asked(text, encoded), scope, pool=pool, filters=filters, mode=mode)
    if mode is not SearchMode.HYBRID or encoded is None:
        return best
    for asked in _other_readings(text, encoded, scope, pool, filters):
        found = _ranked_as(asked, scope, pool=pool, filters=filters, mode=mode).ordered
        other = [one._replace(score=one.score - READING_COST) for one in found]
        if other and (not best.ordered or other[0].score > best.ordered[0].score):
            best = replace(best, read_as=asked)
        best = replace(best, ordered=_merged(best.ordered, other))
    return best


def _ranked_as(asked: Asked, scope: Scope, *, pool: int, filters: Filters, mode: SearchMode) -> Order:
    proposed = propose(asked.text, asked.encoded, scope, pool=pool, filters=filters, mode=mode)
    fusion = load_fusion(asked.encoded.encoder if asked.encoded else "")
    ordered, failed = _looked_at_again(asked, _first_order(proposed.scored, mode, fusion), scope, mode, fusion)
    return Order(ordered, proposed.degraded or failed)


def _other_readings(text: str, encoded: EncodedQuery, scope: Scope, pool: int, filters: Filters) -> Iterator[Asked]:
    """The question as the query layer reads it where its own words are in no entry, encoded; what cannot be had is left out."""
    try:
        said = readings(indexes_for(EntryKind.PASSAGE).lexical, text, scope)
    except SearchUnavailable:
        return
    for other in said:
        as_said = encode_question_if_possible(other, document_searches(scope, pool, filters))
        if as_said is not None and as_said.encoder == encoded.encoder:
            yield Asked(other, as_said)


def _merged(first: Sequence[Ranked], second: Sequence[Ranked]) -> list[Ranked]:
    """Both, each candidate where it stands better."""
    best = {one.scored.id: one for one in sorted([*first, *second], key=lambda one: one.score)}
    return sorted(best.values(), key=lambda one: (-one.score, one.scored.id))


def read_hits(ranked: Sequence[Ranked], scope: Scope) -> tuple[PassageHit, ...]:
    """Those that may still be shown, with their passages, in their order."""
    stored = read_passages([one.scored.id for one in ranked], scope)
    return tuple(
        PassageHit(
            passage=passage,
            score=one.score,
            cosine=one.scored.cosine,
            bm25=one.scored.bm25,
            met=one.scored.met,
            near=one.scored.near,
            reranked=one.reranked,
            question=one.scored.question,
        )
        for one in ranked
        if (passage := stored.get(one.scored.id)) is not None
    )


def _first_order(candidates: Sequence[Scored], mode: SearchMode, fusion: Fusion) -> list[Ranked]:
    """All candidates, best first, before any is looked at with more care."""
    match mode:
        case SearchMode.LEXICAL:
            return _ordered(candidates, [one.bm25 for one in candidates])
        case SearchMode.VECTOR:
            return _ordered(candidates, [one.cosine or 0.0 for one in candidates])
        case _:
            return _ordered(candidates, fuse(candidates, fusion).tolist())


def _looked_at_again(asked: Asked, ordered: list[Ranked], scope: Scope, mode: SearchMode, fusion: Fusion) -> tuple[list[Ranked], bool]:
    """The first of a hybrid search in the order of their token vectors, then of the reranker; and whether that could not be asked."""
    if mode is not SearchMode.HYBRID:
        return ordered, False
    if asked.encoded is not None:
        ordered = _compared(ordered, asked.encoded, scope, fusion)
    return _reranked(asked.text, ordered, scope) if get_settings().reranker else (ordered, False)


def _compared(ordered: list[Ranked], encoded: EncodedQuery, scope: Scope, fusion: Fusion) -> list[Ranked]:
    """The first `RERANKED` again in the order of their token vectors with all else, where these are stored of all of them.

    What was unpublished a moment ago has no token vectors any more: it is left out rather than keep the others from being compared.
    """
    generations = follower().generations(scope.kb_ids, EntryKind.PASSAGE, encoded.encoder)
    head = _with_tokens([one.scored for one in ordered[:RERANKED]], encoded, generations)
    without = [one.id for one in head if one.met is None]
    if len(without) == len(head) or read_facts(without, scope):
        return ordered
    head = [one for one in head if one.met is not None]
    return _stacked(_ordered(head, fuse(head, fusion).tolist()), ordered[RERANKED:])


def _published(ordered: Sequence[Ranked], count: int, scope: Scope) -> tuple[list[Ranked], dict[int, PassageFacts]]:
    """The first `count` that may be shown now, with their facts. More are read only where too many may not."""
    facts = read_facts([one.scored.id for one in ordered[:count]], scope)
    if len(facts) < count < len(ordered):
        facts |= read_facts([one.scored.id for one in ordered[count:]], scope)
    return list(islice((one for one in ordered if one.scored.id in facts), count)), facts


def _with_tokens(candidates: Sequence[Scored], encoded: EncodedQuery, generations: Sequence[int]) -> list[Scored]:
    """The candidates with how well the question's tokens are met, as far as token vectors are stored."""
    projection = load_projection(encoded.encoder)
    if projection is None or encoded.token_vectors is None:
        return list(candidates)
    packed = stored_tokens(EntryKind.PASSAGE, [one.id for one in candidates], generations)
    tokens = {id: rows for id, row in packed.items() if (rows := unpack_tokens(encoded.encoder, row)) is not None}
    known = [one.id for one in candidates if one.id in tokens]
    question = projection.project(encoded.token_vectors)
    weights = projection.informativeness(question)
    whole, near = maxsim_near(question, [tokens[id] for id in known], window=WINDOW, query_weights=weights)
    met = {id: pair for id, *pair in zip(known, whole.tolist(), near.tolist(), strict=True)}
    return [one if (pair := met.get(one.id)) is None else one._replace(met=pair[0], near=pair[1]) for one in candidates]


def _reranked(text: str, ordered: Sequence[Ranked], scope: Scope) -> tuple[list[Ranked], bool]:
    """The first again in the order of the configured reranker; and whether it could not be asked."""
    stored = read_passages([one.scored.id for one in ordered[:RERANKED]], scope)
    head = [one for one in ordered[:RERANKED] if one.scored.id in stored]
    if not head:
        return list(ordered), False
    try:
        reranker = get_backend(get_settings().reranker_backend, Reranker)  # type: ignore[type-abstract]
        scores = reranker.score(text, [_shown(stored[one.scored.id]) for one in head])
    except (ModelUnavailable, Overloaded, DeadlineExceeded) as error:
        log.warning("reranker left out of a search error=%s", error.code)
        return list(ordered), True
    order = np.argsort(-np.asarray(scores), kind="stable")
    return _stacked([Ranked(head[place].scored, float(scores[place]), float(scores[place])) for place in order], ordered[RERANKED:]), False


def _shown(passage: StoredPassage) -> str:
    """A passage as a reranker reads it: what it stands under, then its text."""
    return "\n".join(part for part in (passage.title, passage.heading, passage.text) if part)


def _ordered(candidates: Sequence[Scored], scores: Sequence[float]) -> list[Ranked]:
    """Best first; equal scores go by the lower id, so that order is stable."""
    placed = sorted((-score, one.id, one) for one, score in zip(candidates, scores, strict=True))
    return [Ranked(one, -negative) for negative, _, one in placed]


def _stacked(head: list[Ranked], rest: Sequence[Ranked]) -> list[Ranked]:
    """Both lists as one with falling scores: the rest keeps its distances, moved below the head."""
    if not head or not rest:
        return [*head, *rest]
    shift = min(0.0, head[-1].score - rest[0].score)
    return [*head, *(Ranked(one.scored, one.score + shift) for one in rest)]
