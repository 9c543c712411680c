"""What does one page of search results hold? Hits with snippets, facets, and where the next page begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter

from apps.retrieval.search.facets import MAX_FACET_VALUES, most_frequent
from apps.retrieval.search.highlights import snippets
from apps.retrieval.search.hybrid import PassageHit, Ranked, rank_passages, read_hits
from apps.retrieval.search.nearest import document_searches, encode_question_if_possible
from apps.retrieval.search.params import Group, Place, Search, Sort, cursor_of
from apps.retrieval.search.stored_passages import PassageFacts
from core.config import get_settings
from core.cores import usable_cores
from core.gate import Gate
from core.types import EncodedQuery, JSONDict, JSONValue, Scope

WINDOW = 100  # hits that are ranked, counted and paged through; who needs more narrows the search
WORDS_FLOOR = 1 / 3  # of the best score by words: about where a passage stands that has a word once in twice the usual length


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPage:
    """One page. `total` and `facets` count all hits of the search, `WINDOW` at most; `next` is the cursor of the next page.

    `with_words` is how many of these have a word of the question, as typed or as the query layer reads it; the rest is near in meaning.
    """

    text: str
    hits: tuple[PassageHit, ...]
    total: int
    facets: Mapping[str, Mapping[str, int]]
    next: str | None
    degraded: bool
    with_words: int

    def as_dict(self) -> JSONDict:
        """The answer on the wire."""
        facets: JSONDict = {
            name: [{"value": value, "count": count} for value, count in counts.items()] for name, counts in self.facets.items()
        }
        hits: list[JSONValue] = [_hit(hit, self.text) for hit in self.hits]
        page: JSONDict = {"hits": hits, "total": self.total, "facets": facets, "next": self.next, "degraded": self.degraded}
        return {**page, "words_found": self.with_words > 0, "with_words": self.with_words}


def encode_search(search: Search, scope: Scope) -> EncodedQuery | None:
    """The search's question, and what its vector finds where both are done elsewhere; None where no encoder answers in time."""
    return encode_question_if_possible(search.text, document_searches(scope, WINDOW, search.filters))


def search_in_turn(search: Search, encoded: EncodedQuery | None, scope: Scope) -> JSONDict:
    """The page as the wire has it, made by a few threads at a time (`QA_MATCH_THREADS`; by default one more than there are cores)."""
    with search_gate().held():
        return search_page(search, encoded, scope).as_dict()


@cache
def search_gate() -> Gate:
    """Where searches wait for their turn."""
    return Gate(get_settings().match_threads or usable_cores() + 1)


def search_page(search: Search, encoded: EncodedQuery | None, scope: Scope) -> SearchPage:
    """The page that comes after the cursor. The cursor is a place in the order, so that new hits shift no page.

    Of all hits only what they are counted and sorted by is read, and the passages of the page in whole.
    """
    found = rank_passages(search.text, encoded, scope, k=WINDOW, filters=search.filters, mode=search.mode)
    ranked = _with_words(found.ranked) if search.sort is Sort.DATE else found.ranked
    worded = [one for one in ranked if one.scored.bm25 > 0]
    if search.group is Group.DOCUMENT:
        ranked, worded = (_first_of_documents(these, found.facts) for these in (ranked, worded))
    placed = sorted(((_place(one, found.facts, search.sort), one) for one in ranked), key=itemgetter(0))
    following = _following(placed, search.after)
    page = following[: search.k]
    shown = [one for _, one in page]
    return SearchPage(
        text=search.text,
        hits=read_hits(shown, scope),
        total=len(ranked),
        facets=_facets([found.facts[one.scored.id] for one in ranked]),
        next=cursor_of(page[-1][0]) if len(following) > len(page) else None,
        degraded=found.degraded,
        with_words=len(worded),
    )


def _with_words(ranked: Sequence[Ranked]) -> Sequence[Ranked]:
    """What has the words of the question, all where nothing has. Vectors find something near for any question: by date it would stand first."""
    best = max((one.scored.bm25 for one in ranked), default=0.0)
    return [one for one in ranked if one.scored.bm25 >= best * WORDS_FLOOR]


def _first_of_documents(ranked: Sequence[Ranked], facts: Mapping[int, PassageFacts]) -> list[Ranked]:
    first: dict[int, Ranked] = {}
    for one in ranked:
        first.setdefault(facts[one.scored.id].document_id, one)
    return list(first.values())


def _following(placed: Sequence[tuple[Place, Ranked]], after: Place | None) -> Sequence[tuple[Place, Ranked]]:
    """What stands behind the last hit of the page before: where that is now, since whatever comes in moves all scores; else by its old place."""
    if after is None:
        return placed
    behind = next((number for number, (place, _) in enumerate(placed, 1) if place[2] == after[2]), None)
    return placed[behind:] if behind is not None else [one for one in placed if one[0] > after]


def _place(one: Ranked, facts: Mapping[int, PassageFacts], sort: Sort) -> Place:
    """Smaller comes first; without a date a hit is older than any."""
    day = facts[one.scored.id].date if sort is Sort.DATE else None
    return (float(-day.toordinal()) if day else 0.0, -one.score, one.scored.id)


def _facets(facts: Sequence[PassageFacts]) -> dict[str, dict[str, int]]:
    """How many hits have each value, the most frequent first; months newest first."""
    months = Counter(one.date.isoformat()[:7] for one in facts if one.date)
    counts = {
        "category": Counter(one.category for one in facts if one.category),
        "tags": Counter(tag for one in facts for tag in one.tags),
        "language": Counter(one.language for one in facts if one.language),
        "author": Counter(one.author for one in facts if one.author),
    }
    facets = {name: most_frequent(counter) for name, counter in counts.items()}
    return {**facets, "month": dict(sorted(months.items(), reverse=True)[:MAX_FACET_VALUES])}


def _hit(hit: PassageHit, text: str) -> JSONDict:
    passage = hit.passage
    shown = snippets(text, passage.text)
    with_words = [snippet for snippet in shown if snippet.marks]
    first, last = (with_words[0].start, with_words[-1].end - 1) if with_words else (0, len(passage.text))
    return {
        "id": passage.id,
        "document": passage.document,
        "title": passage.title,
        "text": passage.text,
        "score": round(hit.score, 6),
        "highlights": [snippet.as_dict() for snippet in shown],
        "start": passage.start,
        "end": passage.end,
        "heading": passage.heading,
        "page": passage.page_at(first),
        "page_end": passage.page_at(last),
        "url": passage.url,
        "date": passage.date.isoformat() if passage.date else None,
        "category": passage.category,
        "tags": list(passage.tags),
        "author": passage.author,
        "language": passage.language,
        "words_found": hit.bm25 > 0,
    }
