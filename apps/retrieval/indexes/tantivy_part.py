"""What does one tantivy index on disk hold, and what does it find? Opening, reading and scoring a part."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import tantivy

from core.errors import IndexMismatch, SearchUnavailable
from core.types import NO_FILTERS, Filters, Hit, IndexEntry, IndexState

MAX_QUERY_TERMS = 64
MAX_FACT_CHARS = 200
MAX_EVERYWHERE = 1_000
K1, B = 1.2, 0.75  # tantivy's own, fixed there; used to work out what a perfect hit would score


@dataclass(frozen=True, kw_only=True, slots=True)
class LexicalReader:
    """A searchable state of one knowledge base; `stamp`, the state file's content, tells whether the files have moved on."""

    stamp: bytes
    part: str
    state: IndexState
    index: tantivy.Index
    searcher: tantivy.Searcher
    mean_length: float
    has_our_fields: bool = True
    everywhere: dict[frozenset[str], bool] = field(default_factory=dict)  # whether every entry has one of these facts, as far as was asked


@cache
def schema() -> tantivy.Schema:
    """An entry: its id, its number of terms, its terms without positions, and what it can be filtered by."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("id", indexed=True, fast=True)
    builder.add_integer_field("length", fast=True)
    builder.add_text_field("words", tokenizer_name="words", index_option="freq")
    builder.add_text_field("facts", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("day", fast=True)
    return builder.build()


def _prepare(index: tantivy.Index) -> tantivy.Index:
    index.register_tokenizer("words", tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
    index.config_reader(reload_policy="manual")
    return index


def create_part(folder: Path) -> None:
    """Makes an empty index in a new folder."""
    folder.mkdir(parents=True)
    tantivy.Index(schema(), path=str(folder))


def open_part(folder: Path) -> tantivy.Index:
    """The index in the folder; it shows a commit only once it is reloaded. Raises ValueError where files are damaged."""
    return _prepare(tantivy.Index.open(str(folder)))


def parse_state(content: bytes) -> dict[str, object]:
    """The fields of a state file; raises ValueError where one is missing."""
    row = json.loads(content)
    if not isinstance(row, dict) or not {"revision", "built_with", "part"} <= row.keys():
        raise ValueError("state.json lacks a field")
    return row


def open_reader(home: Path, stamp: bytes, before: LexicalReader | None) -> LexicalReader:
    """A reader of the state that `stamp` tells, taking over the open files of the one before where the part is the same."""
    row = parse_state(stamp)
    part = str(row["part"])
    index = before.index if before is not None and before.part == part else open_part(home / part)
    index.reload()
    searcher = index.searcher()
    state = IndexState(revision=int(str(row["revision"])), built_with=str(row["built_with"]))
    fits = index.schema == schema()
    mean_length = _mean_length(searcher) if fits else 0.0
    return LexicalReader(stamp=stamp, part=part, state=state, index=index, searcher=searcher, mean_length=mean_length, has_our_fields=fits)


def _mean_length(searcher: tantivy.Searcher) -> float:
    if not searcher.num_docs:
        return 0.0
    result = searcher.aggregate(tantivy.Query.all_query(), {"mean": {"avg": {"field": "length"}}})
    return float(result["mean"]["value"] or 0.0)


def frequencies_of(searcher: tantivy.Searcher, terms: Iterable[str]) -> dict[str, int]:
    """How many entries have each of the terms; one that none has is left out."""
    return {term: frequency for term in terms if (frequency := searcher.doc_freq("words", term))}


def rarest(frequencies: Mapping[str, int]) -> list[str]:
    """The rarest `MAX_QUERY_TERMS` of the terms, so that long texts stay cheap."""
    if len(frequencies) <= MAX_QUERY_TERMS:
        return list(frequencies)
    return sorted(frequencies, key=lambda term: (frequencies[term], term))[:MAX_QUERY_TERMS]


def document_of(entry: IndexEntry, terms: Sequence[str]) -> tantivy.Document:
    """The entry as an index holds it; `terms` are those of its text."""
    document = tantivy.Document()
    document.add_integer("id", entry.id)
    document.add_integer("length", len(terms))
    document.add_text("words", " ".join(terms))
    for fact in set(entry.facts.terms):
        document.add_text("facts", fact_key(fact))
    if entry.facts.day is not None:
        document.add_integer("day", entry.facts.day)
    return document


def search_part(reader: LexicalReader, terms: Sequence[str], k: int, filters: Filters = NO_FILTERS) -> list[Hit]:
    """Up to `k` entries that have any of the terms and that the filters admit, best BM25 first.

    Filters choose and do not score. No query language: a text can never break the query.
    """
    if not terms or not all(filters.any_of):
        return []
    words = [(tantivy.Occur.Should, tantivy.Query.term_query(schema(), "words", term, "freq")) for term in terms]
    query = tantivy.Query.boolean_query(words)
    narrowing = _narrowing(reader, filters) if filters else NO_FILTERS
    if narrowing:
        query = tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in (query, *_conditions(narrowing))])
    found = reader.searcher.search(query, min(k, reader.searcher.num_docs), count=False).hits
    ids = ids_at(reader.searcher, [address for _, address in found])
    return [Hit(entry_id, float(score)) for entry_id, (score, _) in zip(ids, found, strict=True)]


def score_term(reader: LexicalReader, term: str, ids: Sequence[int]) -> list[Hit]:
    """Those of the entries that have the term, with its BM25 in each."""
    chosen = tantivy.Query.const_score_query(tantivy.Query.term_set_query(schema(), "id", list(ids)), 0.0)
    word = tantivy.Query.term_query(schema(), "words", term, "freq")
    query = tantivy.Query.boolean_query([(tantivy.Occur.Must, chosen), (tantivy.Occur.Must, word)])
    found = reader.searcher.search(query, len(ids), count=False).hits
    entries = ids_at(reader.searcher, [address for _, address in found])
    return [Hit(entry, float(score)) for entry, (score, _) in zip(entries, found, strict=True)]


def _narrowing(reader: LexicalReader, filters: Filters) -> Filters:
    """The filters without those that every entry passes: with any, tantivy scores all entries that have a word, three times the work."""
    return replace(filters, any_of=tuple(group for group in filters.any_of if not _is_everywhere(reader, group)))


def _is_everywhere(reader: LexicalReader, group: frozenset[str]) -> bool:
    """Whether every entry has a fact of the group: counted once for a state of the index."""
    found = reader.everywhere.get(group)
    if found is None:
        having = reader.searcher.search(_having(group), 1, count=True).count  # type: ignore[attr-defined]  # the stubs lack it
        found = having == reader.searcher.num_docs
        if len(reader.everywhere) < MAX_EVERYWHERE:
            reader.everywhere[group] = found
    return found


def _having(group: frozenset[str]) -> tantivy.Query:
    return tantivy.Query.term_set_query(schema(), "facts", [fact_key(fact) for fact in group])


def _conditions(filters: Filters) -> list[tantivy.Query]:
    """What an entry must fulfil, each with a score of 0."""
    parts = [_having(group) for group in filters.any_of]
    if filters.since_day is not None or filters.until_day is not None:
        since, until = max(filters.since_day or 0, 0), filters.until_day
        parts.append(tantivy.Query.range_query(schema(), "day", tantivy.FieldType.Integer, since, until))
    return [tantivy.Query.const_score_query(part, 0.0) for part in parts]


def fact_key(fact: str) -> str:
    """The fact as an index can hold it: one that is too long, or no valid Unicode, by its hash."""
    if len(fact) <= MAX_FACT_CHARS and not any("\ud800" <= char <= "\udfff" for char in fact):
        return fact
    return "sha256:" + hashlib.sha256(fact.encode("utf-8", "surrogatepass")).hexdigest()


def ids_at(searcher: tantivy.Searcher, addresses: list[tantivy.DocAddress]) -> list[int]:
    """The entries' ids, in the order of the addresses."""
    return [int(value) for value in searcher.fast_field_values("id", addresses) if value is not None]


def term_score(count: int, *, entries: int, frequency: int, length: float) -> float:
    """What tantivy's BM25 gives an entry for one term (Robertson and Zaragoza 2009, with Lucene's idf, which stays above 0).

    The entry has the term `count` times and is `length` times as long as the average; `frequency` of `entries` have the term.
    """
    idf = math.log(1 + (entries - frequency + 0.5) / (frequency + 0.5))
    return idf * count * (K1 + 1) / (count + K1 * (1 - B + B * length))


def ceiling_of(terms: Mapping[str, int], frequencies: Mapping[str, int], reader: LexicalReader) -> float:
    """The BM25 that an entry of exactly these terms, each as often as is said, would get.

    Words that no entry has count like words that one entry has. With tantivy's idf, ln(1 + (N - n + .5)/(n + .5)),
    which stays above zero, the ratio of a hit's score to this is sane even in a knowledge base of one entry.
    """
    entries = reader.searcher.num_docs
    counted = {term: min(entries, frequencies.get(term, 1)) for term in terms}
    length = sum(terms.values()) / max(reader.mean_length, 1.0)
    return sum(term_score(terms[term], entries=entries, frequency=counted[term], length=length) for term in rarest(counted))


@contextmanager
def damage_named(kb_id: int) -> Iterator[None]:
    """Turns what tantivy and the file system say about broken files into IndexMismatch."""
    try:
        yield
    except (ValueError, OSError, KeyError) as error:
        message = f"The lexical index of knowledge base {kb_id} is damaged ({error}). Run `manage.py reindex` to build it anew."
        raise IndexMismatch(message, repair="manage.py reindex", kb=kb_id) from error


@contextmanager
def writing(kb_id: int) -> Iterator[None]:
    """Turns what tantivy and the file system say where nothing can be written into SearchUnavailable: the state of before still answers."""
    try:
        yield
    except (ValueError, OSError) as error:
        message = f"The lexical index of knowledge base {kb_id} cannot be written ({error}). Is the disk full?"
        raise SearchUnavailable(message, reason="disk", kb=kb_id) from error
