"""Why was this found, and why was that document not? Each hit's score by its parts, and the first rule that dropped a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.retrieval.documents.facts import facts_of, filters_for
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Document, Entry, KnowledgeBase, Passage
from apps.retrieval.query_layer.layer import asked_words
from apps.retrieval.search.fusion import Scored, load_fusion, weighted_parts
from apps.retrieval.search.hybrid import PassageHit, search_passages
from apps.retrieval.search.params import Search
from apps.retrieval.search.proposals import POOL
from apps.retrieval.search.stored_passages import texts_of_questions
from core.types import EncodedQuery, EntryKind, Facts, JSONDict, JSONValue, Scope, SearchMode

EXPLAINED = 10
DEEP = 1000  # how far down a named document is looked for


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """What each term of the question adds to the BM25 of a passage, and of the extra question that found it, where one did."""

    terms: Mapping[str, float]
    question: str = ""
    question_terms: Mapping[str, float]


def explain_search(search: Search, encoded: EncodedQuery | None, kb: KnowledgeBase, scope: Scope, document: str = "") -> JSONDict:
    """What made the first hits what they are and, where a document is named, why it is where it is."""
    found = search_passages(search.text, encoded, scope, k=EXPLAINED, filters=search.filters, mode=search.mode)
    words = _words(search.text, kb, scope, found.hits)
    hits: list[JSONValue] = [{"place": place, **_explained(hit, words[hit.passage.id], encoded)} for place, hit in enumerate(found.hits, 1)]
    explained: JSONDict = {"hits": hits, "degraded": found.degraded}
    if document:
        explained["document"] = explain_document(search, encoded, kb, scope, document)
    return explained


def explain_document(search: Search, encoded: EncodedQuery | None, kb: KnowledgeBase, scope: Scope, external_id: str) -> JSONDict:
    """Where the best passage of a document stands, or the rule that keeps it out; `rule` is empty where nothing does."""
    document = Document.objects.filter(kb=kb, external_id=external_id).first()
    rule, says = _rule(document, search, scope)
    row: JSONDict = {"document": external_id, "rule": rule, "says": says}
    if rule or document is None:
        return row
    return {**row, **_place(search, encoded, kb, scope, document)}


def _rule(document: Document | None, search: Search, scope: Scope) -> tuple[str, str]:
    """The first rule that drops a document, and a sentence about it."""
    if document is None:
        return "unknown", "The knowledge base has no document of this id."
    if document.status != Document.Status.PUBLISHED:
        return "status", f"It is {document.status}: only what is published is found."
    facts = facts_of(document)
    if not filters_for(groups=scope.groups).admits(facts):
        return "access", "Its access list names none of the groups that search."
    for name, one in search.narrowed.items():
        if not one.admits(facts):
            return name, f"The filter `{name}` leaves it out: it has {_own(name, facts)}."
    passages = list(Passage.objects.filter(document=document).values_list("pk", flat=True))
    if not passages:
        return "empty", "It has no text that can be found."
    if not Entry.objects.filter(kind=EntryKind.PASSAGE.value, owner_id__in=passages, deleted=False).exists():
        return "entries", "Its passages are not among the entries: run `manage.py verify_index --repair`."
    return "", ""


def _own(name: str, facts: Facts) -> str:
    if name in ("since", "until", "month"):
        return "no date" if facts.day is None else "another date"
    prefix = {"tags": "tag", "language": "lang"}.get(name, name) + "="
    return ", ".join(term for term in facts.terms if term.startswith(prefix)) or "none"


def _place(search: Search, encoded: EncodedQuery | None, kb: KnowledgeBase, scope: Scope, document: Document) -> JSONDict:
    """The places of the document's best passage by words, by vectors and in all; null where it is beyond `DEEP`."""
    passages = set(Passage.objects.filter(document=document).values_list("pk", flat=True))
    places: JSONDict = {}
    best: PassageHit | None = None
    for mode in SearchMode:
        if mode is SearchMode.VECTOR and encoded is None:
            continue
        hits = search_passages(search.text, encoded, scope, k=DEEP, filters=search.filters, mode=mode).hits
        own = next(((place, hit) for place, hit in enumerate(hits, 1) if hit.passage.id in passages), None)
        places[mode.value] = own[0] if own else None
        best = own[1] if own and mode is SearchMode.HYBRID else best
    row: JSONDict = {"places": places, "says": f"Only the first {POOL} of words and of vectors are compared; it is at these places."}
    if best is None:
        return row
    return {**row, "best": _explained(best, _words(search.text, kb, scope, [best])[best.passage.id], encoded)}


def _words(text: str, kb: KnowledgeBase, scope: Scope, hits: Sequence[PassageHit]) -> dict[int, _Words]:
    """What the words of the question say of each hit, by the id of its passage."""
    questions = [hit.question for hit in hits if hit.question is not None]
    terms = _term_scores(EntryKind.PASSAGE, text, kb, scope, [hit.passage.id for hit in hits])
    of_questions = _term_scores(EntryKind.QUESTION, text, kb, scope, questions)
    texts = texts_of_questions(questions)
    return {
        hit.passage.id: _Words(
            terms=terms.get(hit.passage.id, {}),
            question=texts.get(hit.question or 0, ""),
            question_terms=of_questions.get(hit.question or 0, {}),
        )
        for hit in hits
    }


def _term_scores(kind: EntryKind, text: str, kb: KnowledgeBase, scope: Scope, ids: Sequence[int]) -> dict[int, dict[str, float]]:
    if not ids:
        return {}
    lexical = indexes_for(kind).lexical
    return lexical.term_scores(asked_words(lexical, text, scope), kb.pk, ids)


def _explained(hit: PassageHit, words: _Words, encoded: EncodedQuery | None) -> JSONDict:
    """A hit's score by its parts: what each index says, what that counts for, and what each word adds to BM25.

    `question` is there where an extra question found the passage: its text, and its own terms.
    """
    says = {"cosine": hit.cosine, "bm25": hit.bm25, "met": hit.met, "near": hit.near, "reranked": hit.reranked}
    scored = Scored(hit.passage.id, hit.cosine, hit.bm25, hit.met, hit.near)
    counts = weighted_parts(scored, load_fusion(encoded.encoder if encoded else ""))
    row: JSONDict = {
        "id": hit.passage.id,
        "document": hit.passage.document,
        "score": round(hit.score, 4),
        "says": {name: round(value, 4) for name, value in says.items() if value is not None},
        "counts": {name: round(value, 4) for name, value in counts.items()},
        "terms": _sorted(words.terms),
    }
    return {**row, "question": {"text": words.question, "terms": _sorted(words.question_terms)}} if words.question else row


def _sorted(terms: Mapping[str, float]) -> JSONDict:
    return {term: round(score, 4) for term, score in sorted(terms.items(), key=lambda one: -one[1])}
