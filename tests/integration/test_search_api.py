"""The search route: pages, filters, facets, snippets, and how it refuses what cannot be searched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from apps.retrieval.documents.passage_questions import save_questions
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.parsing.parsed import Block, BlockKind
from tests.documents import WRITER, put_document

pytestmark = pytest.mark.django_db
PATH = "/api/v1/kbs/hr/search"


@pytest.fixture(autouse=True)
def news(kb: KnowledgeBase) -> None:
    days = ["2026-01-05", "2026-01-20", "2026-02-03", "2026-03-09", ""]
    for number, day in enumerate(days):
        put_document(
            kb,
            f"n{number}",
            f"The city council met. Item {number}: the new bridge is open.",
            title=f"Bridge {number}",
            day=day,
            category="city" if number % 2 else "world",
            tags=("bridge", f"t{number}"),
            author="Ada" if number == 3 else "Bob",
        )


def get(api: APIClient, **params: object) -> dict:
    answer = api.get(PATH, params)
    assert answer.status_code == 200, answer.content
    return answer.json()


def documents(page: dict) -> list[str]:
    return [hit["document"] for hit in page["hits"]]


def test_a_hit_has_what_the_contract_says(api: APIClient) -> None:
    page = get(api, q="new bridge item 3")
    hit = page["hits"][0]
    assert set(page) >= {"hits", "total", "facets", "next"} and page["total"] == 5 and page["next"] is None
    assert page["words_found"] is True
    assert set(hit) >= {"id", "document", "title", "text", "score", "highlights", "start", "end"}
    assert (hit["title"].split()[0], hit["start"], hit["end"]) == ("Bridge", 0, len(hit["text"]))
    piece = hit["highlights"][0]
    assert hit["text"][piece["start"] : piece["end"]] == piece["text"]
    assert {piece["text"][start:end].lower() for start, end in piece["marks"]} >= {"new", "bridge"}


def test_a_hit_names_the_page_of_its_first_sentence_with_the_words(api: APIClient, kb: KnowledgeBase) -> None:
    blocks = tuple(Block(kind=BlockKind.PARAGRAPH, text=text, page=page) for page, text in ((4, "A walrus sleeps."), (5, "A heron flies.")))
    save_documents(kb, [draft_of(Reading(row=DocumentRow(id="a.pdf", text=""), blocks=blocks))], WRITER)
    hits = [get(api, q=words)["hits"][0] for words in ("walrus", "heron", "walrus heron")]
    assert [(hit["page"], hit["page_end"]) for hit in hits] == [(4, 4), (5, 5), (4, 5)]


@pytest.mark.parametrize("sort", ["relevance", "date"])
def test_pages_follow_each_other_without_gap_or_repeat(api: APIClient, sort: str) -> None:
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = get(api, q="bridge", k=2, sort=sort, cursor=cursor)
        seen += documents(page)
        cursor = page["next"]
    assert cursor is None
    assert sorted(seen) == ["n0", "n1", "n2", "n3", "n4"]
    if sort == "date":
        assert seen == ["n3", "n2", "n1", "n0", "n4"]


def test_by_date_only_what_has_the_words_is_shown(api: APIClient, kb: KnowledgeBase) -> None:
    put_document(kb, "late", "A recipe for soup with leeks and potatoes.", day="2026-05-01")
    assert "late" in documents(get(api, q="bridge", group="document"))
    page = get(api, q="bridge", group="document", sort="date")
    assert (documents(page), page["total"]) == (["n3", "n2", "n1", "n0", "n4"], 5)


def test_by_date_what_is_near_is_shown_where_nothing_has_the_words(api: APIClient) -> None:
    page = get(api, q="zeppelin", sort="date")
    assert (documents(page), page["words_found"]) == (["n3", "n2", "n1", "n0", "n4"], False)


def test_what_has_the_words_is_counted_apart_from_what_is_near_in_meaning(api: APIClient, kb: KnowledgeBase) -> None:
    soup = "\n\n".join(f"Leeks and potatoes, part {number}. " + "Stir it well and slowly. " * 60 for number in range(3))
    put_document(kb, "soup", f"{soup}\n\nServe it on a bridge. " + "Eat it while it is hot. " * 60)
    page = get(api, q="bridge", group="document")
    assert (page["total"], page["with_words"]) == (6, 6)
    passages = get(api, q="bridge", k=100)
    assert passages["with_words"] == sum(hit["words_found"] for hit in passages["hits"]) < passages["total"]
    assert get(api, q="zeppelin")["with_words"] == 0


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_pages_repeat_nothing_though_what_comes_in_moves_every_score(api: APIClient, kb: KnowledgeBase, mode: str) -> None:
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None and len(seen) < 20:
        page = get(api, q="bridge", k=2, mode=mode, cursor=cursor)
        seen, cursor = seen + documents(page), page["next"]
        for number in range(20):
            put_document(kb, f"other-{len(seen)}-{number}", f"Cats and dogs {number} of {len(seen)}, and what else they do all day.")
    assert set(seen) >= {"n0", "n1", "n2", "n3", "n4"}
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"category": "city"}, {"n1", "n3"}),
        ({"tags": ["t1", "t2"]}, {"n1", "n2"}),
        ({"author": "ada"}, {"n3"}),
        ({"language": "en"}, {"n0", "n1", "n2", "n3", "n4"}),
        ({"language": "zh"}, set()),
        ({"since": "2026-01-20", "until": "2026-02-03"}, {"n1", "n2"}),
        ({"month": "2026-01"}, {"n0", "n1"}),
        ({"month": "2026-01", "since": "2026-01-06"}, {"n1"}),
    ],
)
def test_filters_narrow(api: APIClient, params: dict, wanted: set[str]) -> None:
    assert set(documents(get(api, q="bridge", **params))) == wanted


def test_facets_count_what_can_be_narrowed_by(api: APIClient) -> None:
    facets = get(api, q="bridge", k=1)["facets"]
    assert facets["category"] == [{"value": "world", "count": 3}, {"value": "city", "count": 2}]
    assert facets["month"] == [{"value": f"2026-0{month}", "count": count} for month, count in ((3, 1), (2, 1), (1, 2))]
    assert facets["tags"][0] == {"value": "bridge", "count": 5}


def test_a_facet_counts_what_its_filter_finds_in_any_case(api: APIClient, kb: KnowledgeBase) -> None:
    put_document(kb, "c", "A bridge of another case.", category="CITY", tags=("Bridge",), author="ada")
    facets = get(api, q="bridge")["facets"]
    assert facets["category"] == [{"value": "city", "count": 3}, {"value": "world", "count": 3}]
    for name in ("category", "tags", "author"):
        for facet in facets[name]:
            assert get(api, q="bridge", **{name: facet["value"]})["total"] == facet["count"]


def test_one_hit_a_document_where_asked(api: APIClient, kb: KnowledgeBase) -> None:
    put_document(kb, "long", "\n\n".join(f"Bridge report part {part}. " + "Steel and stone. " * 90 for part in range(4)))
    assert documents(get(api, q="bridge report part", k=50)).count("long") > 1
    assert documents(get(api, q="bridge report part", k=50, group="document")).count("long") == 1


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"q": ""}, "q"),
        ({}, "q"),
        ({"q": " \u200b "}, "q"),
        ({"q": "a" * 10_001}, "q"),
        ({"q": "a", "k": "0"}, "k"),
        ({"q": "a", "k": "99999"}, "k"),
        ({"q": "a", "k": "-1"}, "k"),
        ({"q": "a", "k": "²"}, "k"),
        ({"q": "a", "mode": "guess"}, "mode"),
        ({"q": "a", "sort": "luck"}, "sort"),
        ({"q": "a", "since": "yesterday"}, "since"),
        ({"q": "a", "until": "2026-02-30"}, "until"),
        ({"q": "a", "month": "2026-13"}, "month"),
        ({"q": "a", "month": "0000-01"}, "month"),
        ({"q": "a", "month": "2026-01-05"}, "month"),
        ({"q": "a", "cursor": "bm90IGEgY3Vyc29y"}, "cursor"),
        ({"q": "a", "cursor": "é"}, "cursor"),
        ({"q": "a", "tags": "x" * 201}, "tags"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(api: APIClient, params: dict, field: str) -> None:
    answer = api.get(PATH, params)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field


@pytest.mark.parametrize(
    "q", ["' OR 1=1; --", "(((", "a AND", "*:*", "😀", "{{7*7}}", "\x00a", "问" * 9000, "\ud800x".encode("utf-8", "replace").decode()]
)
def test_odd_questions_are_searched_like_any_other(api: APIClient, q: str) -> None:
    for mode in ("hybrid", "lexical", "vector"):
        assert api.get(PATH, {"q": q, "mode": mode}).status_code == 200


def test_readers_may_search_and_others_may_not(client_with_role: Callable[..., APIClient], kb: KnowledgeBase) -> None:
    assert client_with_role("viewer").get(PATH, {"q": "bridge"}).status_code == 200
    assert client_with_role("asker").get(PATH, {"q": "bridge"}).status_code == 404
    assert APIClient().get(PATH, {"q": "bridge"}).status_code == 401


def test_a_viewer_sees_no_document_of_other_groups(client_with_role: Callable[..., APIClient], api: APIClient, kb: KnowledgeBase) -> None:
    put_document(kb, "secret", "The secret bridge.", access=("staff",))
    assert "secret" in documents(get(api, q="secret bridge"))
    assert "secret" not in documents(get(client_with_role("viewer"), q="secret bridge"))


def explain(api: APIClient, **params: object) -> dict:
    answer = api.get(f"{PATH}/explain", params)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_hits_score_is_explained_by_index_and_by_term(api: APIClient) -> None:
    hit = explain(api, q="bridge item 3")["hits"][0]
    assert (hit["place"], hit["document"]) == (1, "n3")
    assert set(hit["says"]) == set(hit["counts"]) == {"cosine", "bm25"}
    assert {"bridg", "item", "3"} == set(hit["terms"])
    assert max(hit["terms"], key=hit["terms"].get) == "3"


def test_a_hit_that_an_extra_question_found_shows_its_terms_there(api: APIClient, kb: KnowledgeBase) -> None:
    passage = put_document(kb, "vpn", "Ask the help desk for a token.").passages.get()
    save_questions(kb, passage, ["Why is logging in from home refused?", "Who gives out tokens?"], WRITER)
    (hit,) = [hit for hit in explain(api, q="refused at home, and a token")["hits"] if hit["document"] == "vpn"]
    assert set(hit["terms"]) == {"token"}
    assert hit["question"]["text"] == "Why is logging in from home refused?"
    assert set(hit["question"]["terms"]) == {"refus", "home"}
    named = explain(api, q="refused at home", document="vpn")["document"]["best"]
    assert (named["terms"], named["question"]) == ({}, hit["question"])
    assert sum(named["question"]["terms"].values()) == pytest.approx(named["says"]["bm25"], abs=1e-3)


def test_a_hit_that_its_own_text_found_names_no_question(api: APIClient, kb: KnowledgeBase) -> None:
    passage = put_document(kb, "vpn", "Ask the help desk for a token.").passages.get()
    save_questions(kb, passage, ["Why is logging in from home refused?"], WRITER)
    hit = explain(api, q="ask the help desk for a token", mode="lexical")["hits"][0]
    assert hit["document"] == "vpn" and "question" not in hit


@pytest.mark.parametrize(
    ("params", "rule"),
    [
        ({"document": "nowhere"}, "unknown"),
        ({"document": "old"}, "status"),
        ({"document": "secret", "groups": ["press"]}, "access"),
        ({"document": "n0", "category": "city"}, "category"),
        ({"document": "n0", "since": "2026-01-06"}, "since"),
        ({"document": "n4", "month": "2026-01"}, "month"),
        ({"document": "n0", "tags": "t9", "category": "world"}, "tags"),
    ],
)
def test_the_rule_that_keeps_a_document_out_is_named(api: APIClient, kb: KnowledgeBase, params: dict, rule: str) -> None:
    put_document(kb, "old", "The old bridge.", status="archived")
    put_document(kb, "secret", "The secret bridge.", access=("staff",))
    assert explain(api, q="bridge", **params)["document"]["rule"] == rule


def test_a_document_that_nothing_keeps_out_has_its_places(api: APIClient) -> None:
    named = explain(api, q="bridge item 3", document="n3")["document"]
    assert (named["rule"], named["places"]) == ("", {"hybrid": 1, "lexical": 1, "vector": 1})
    assert named["best"]["document"] == "n3"


def test_only_who_edits_may_ask_why(client_with_role: Callable[..., APIClient]) -> None:
    assert client_with_role("viewer").get(f"{PATH}/explain", {"q": "bridge"}).status_code == 403
