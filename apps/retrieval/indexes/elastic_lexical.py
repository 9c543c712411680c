"""Which entries share words with a question? BM25 in Elasticsearch, over the same terms and with the same numbers as the embedded index.

The terms come from `analysis.analyze`; Elasticsearch splits them at white space only. So both index the same terms, no plugin
is needed, and a change of the analysis needs no change of the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import orjson

from apps.retrieval.indexes.analysis import analyze
from apps.retrieval.indexes.elastic_build import ElasticBuild
from apps.retrieval.indexes.elastic_bulk import Action
from apps.retrieval.indexes.elastic_connection import unavailable_item
from apps.retrieval.indexes.elastic_following import FACTS, ElasticFollowing
from apps.retrieval.indexes.elastic_ids import PAGE
from apps.retrieval.indexes.elastic_state import STATE_FIELDS
from apps.retrieval.indexes.tantivy_part import K1, MAX_QUERY_TERMS, B, fact_key, term_score
from core.types import NO_FILTERS, Facts, Filters, Hit, IndexEntry, JSONDict, JSONValue, Scope

# Lucene's BM25 with (k1 + 1) in it, as tantivy's; terms without positions. The one `similarity` that ES has by default is the same
# today, but spelt out it stays so.
WORDS: JSONDict = {"type": "text", "analyzer": "whitespace", "index_options": "freqs", "similarity": "words"}
SIMILARITY: JSONDict = {"words": {"type": "BM25", "k1": K1, "b": B}}


class ElasticLexicalBuild(ElasticBuild):
    """LexicalBuild in Elasticsearch."""

    def put(self, kb_id: int, entries: Sequence[IndexEntry], *, as_of: int = 0) -> None:
        """Adds or replaces entries by id, as of a revision."""
        self.add(_documents(entries, as_of))


@dataclass(frozen=True, kw_only=True, slots=True)
class TermStatistics:
    """Of one knowledge base: how many entries it has, their mean number of terms, and how many entries have each term."""

    entries: int = 0
    mean_length: float = 0.0
    frequencies: dict[str, int]


class ElasticLexicalIndex(ElasticFollowing):
    """LexicalIndex in Elasticsearch. A search is one request, a normalised one two, over however many knowledge bases."""

    part = "words"
    extra_settings = {"similarity": SIMILARITY}

    def search(self, text: str, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` hits that the filters admit, best first; score is BM25 by the statistics of the hit's knowledge base.

        Of a long text the `MAX_QUERY_TERMS` rarest known terms count. Raises SearchUnavailable.
        """
        terms = list(dict.fromkeys(analyze(text)))
        kb_ids = _asked(terms, k, scope, filters)
        if len(terms) <= MAX_QUERY_TERMS:
            return _best(self._search(dict.fromkeys(kb_ids, terms), k, filters), k)
        statistics = self._statistics(terms, kb_ids)
        return _best(self._search({kb_id: _known_rarest(terms, statistics[kb_id]) for kb_id in kb_ids}, k, filters), k)

    def search_normalized(self, text: str, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Like `search`, with scores from 0 to 1: BM25 divided by what the text itself would score as an entry."""
        terms = analyze(text)
        kb_ids = _asked(terms, k, scope, filters)
        statistics = self._statistics(terms, kb_ids)
        ceilings = {kb_id: ceiling for kb_id in kb_ids if (ceiling := _ceiling(terms, statistics[kb_id]))}
        unique = list(dict.fromkeys(terms))
        hits = self._search({kb_id: _known_rarest(unique, statistics[kb_id]) for kb_id in ceilings}, k, filters)
        return _best({kb_id: [Hit(hit.id, min(hit.score / ceilings[kb_id], 1.0)) for hit in found] for kb_id, found in hits.items()}, k)

    def term_scores(self, text: str, kb_id: int, ids: Sequence[int]) -> dict[int, dict[str, float]]:
        """What each term adds to the BM25 of each of these entries; entries without any are left out."""
        terms = list(dict.fromkeys(analyze(text)))
        if not terms or not ids:
            return {}
        known = _known_rarest(terms, self._statistics(terms, [kb_id])[kb_id])
        words: list[JSONValue] = [{"term": {"words": {"value": term, "_name": term}}} for term in known]
        chosen: JSONDict = {"ids": {"values": [str(id) for id in ids]}}
        query: JSONDict = {"bool": {"should": words, "minimum_should_match": 1, "filter": [chosen]}}
        answer = self.connection.quick(
            lambda client: client.search(
                index=self.alias(kb_id), query=query, size=len(ids), source=False, include_named_queries_score=True, ignore_unavailable=True
            )
        )
        return {int(hit["_id"]): dict(hit["matched_queries"]) for hit in answer["hits"]["hits"]}

    def frequencies(self, terms: Sequence[str], scope: Scope) -> dict[str, int]:
        """How many entries within the scope have each of the terms, those that were replaced and not merged away yet included."""
        found: Counter[str] = Counter()
        for statistics in self._statistics(terms, list(dict.fromkeys(scope.kb_ids)) if terms else []).values():
            found.update(statistics.frequencies)
        return dict(found)

    def put(self, kb_id: int, entries: Sequence[IndexEntry], *, as_of: int = 0) -> None:
        """Adds or replaces entries by id, as of a revision; takes effect with `refresh`."""
        self._holding(kb_id).add(_documents(entries, as_of))

    def building(self, kb_id: int, built_with: str) -> AbstractContextManager[ElasticLexicalBuild]:
        """A new index, filled aside. Raises SearchUnavailable where another process builds one for long."""
        return self.build_aside(ElasticLexicalBuild(self, kb_id, built_with))

    def mappings(self, note: JSONDict) -> JSONDict:
        """An entry: its id, its terms, and what it can be filtered by."""
        return {"properties": {**STATE_FIELDS, **FACTS, "words": WORDS}}

    def _search(self, terms: dict[int, list[str]], k: int, filters: Filters) -> dict[int, list[Hit]]:
        bodies = {kb_id: _body(own, k, filters) for kb_id, own in terms.items() if own}
        return self.search_each(bodies)

    def _statistics(self, terms: Sequence[str], kb_ids: Sequence[int]) -> dict[int, TermStatistics]:
        """Those of the knowledge bases, as a search counts them: entries that were replaced and not merged away yet included."""
        if not kb_ids:
            return {}
        document = {"words": " ".join(terms)}
        asked = [{"_index": self.alias(kb_id), "doc": document, "fields": ["words"], "routing": "0"} for kb_id in kb_ids]
        answer = self.connection.quick(
            lambda client: client.mtermvectors(
                docs=asked, term_statistics=True, positions=False, offsets=False, payloads=False, realtime=False, preference="wenlu"
            )
        )
        return {kb_id: _counted(doc) for kb_id, doc in zip(kb_ids, answer["docs"], strict=True)}


def _documents(entries: Sequence[IndexEntry], as_of: int) -> Iterator[Action]:
    """Each entry as it is stored."""
    for entry in entries:
        document = {"id": entry.id, "words": " ".join(analyze(entry.text)), **fact_fields(entry.facts)}
        yield Action(entry.id, orjson.dumps(document), as_of)


def conditions(filters: Filters) -> list[JSONValue]:
    """The filters as clauses that choose and do not score."""
    clauses: list[JSONValue] = [{"terms": {"facts": _keys(group)}} for group in filters.any_of]
    if filters.since_day is not None or filters.until_day is not None:
        bounds: JSONDict = {"gte": max(filters.since_day or 0, 0)}
        clauses.append({"range": {"day": bounds if filters.until_day is None else {**bounds, "lte": filters.until_day}}})
    return clauses


def fact_fields(facts: Facts) -> JSONDict:
    """The facts as fields of a document."""
    return {"facts": _keys(facts.terms), "day": facts.day}


def _keys(terms: Iterable[str]) -> list[JSONValue]:
    return [*sorted(set(map(fact_key, terms)))]


def _asked(terms: Sequence[str], k: int, scope: Scope, filters: Filters) -> list[int]:
    """The knowledge bases to search; none where nothing can be found."""
    return list(dict.fromkeys(scope.kb_ids)) if terms and k > 0 and all(filters.any_of) else []


def _body(terms: Sequence[str], k: int, filters: Filters) -> JSONDict:
    words: list[JSONValue] = [{"term": {"words": term}} for term in terms]
    query: JSONDict = {"bool": {"should": words, "minimum_should_match": 1, "filter": conditions(filters)}}
    return {"query": query, "size": min(k, PAGE), "_source": False, "track_total_hits": False}


def _counted(answer: dict[str, Any]) -> TermStatistics:
    if error := answer.get("error"):
        if error["type"] == "index_not_found_exception":
            return TermStatistics(frequencies={})
        raise unavailable_item(error)
    words = answer.get("term_vectors", {}).get("words")
    if words is None or words.get("field_statistics", {}).get("doc_count", 0) <= 0:
        return TermStatistics(frequencies={})
    field = words["field_statistics"]
    frequencies = {term: found["doc_freq"] for term, found in words["terms"].items() if found.get("doc_freq")}
    return TermStatistics(entries=field["doc_count"], mean_length=field["sum_ttf"] / field["doc_count"], frequencies=frequencies)


def _known_rarest(terms: Sequence[str], statistics: TermStatistics) -> list[str]:
    known = [term for term in terms if term in statistics.frequencies]
    return (
        known if len(known) <= MAX_QUERY_TERMS else sorted(known, key=lambda term: (statistics.frequencies[term], term))[:MAX_QUERY_TERMS]
    )


def _ceiling(terms: Sequence[str], statistics: TermStatistics) -> float:
    """The BM25 that an entry of exactly these terms would get; words that no entry has count like words that one entry has."""
    if not statistics.entries:
        return 0.0
    counts = Counter(terms)
    frequencies = {term: max(1, min(statistics.entries, statistics.frequencies.get(term, 0))) for term in counts}
    counted = sorted(counts, key=lambda term: frequencies[term])[:MAX_QUERY_TERMS]
    length = len(terms) / max(statistics.mean_length, 1.0)
    return sum(term_score(counts[term], entries=statistics.entries, frequency=frequencies[term], length=length) for term in counted)


def _best(hits: dict[int, list[Hit]], k: int) -> list[Hit]:
    return sorted((hit for found in hits.values() for hit in found), key=lambda hit: (-hit.score, hit.id))[:k]
