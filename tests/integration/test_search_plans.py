"""No query of a search reads a whole table: the plans of the database that the tests run on."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from apps.retrieval.grounding.sections import read_surroundings
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.retrieval.search.archive import archive_page, read_browse
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.search.nearest import encode_question
from apps.retrieval.search.page import search_in_turn
from apps.retrieval.search.params import Search, read_search
from apps.retrieval.search.stored_passages import forget_kinds, passages_of_questions, read_facts, read_passages
from apps.retrieval.selectors import scope_of, stored_tokens
from core.types import EntryKind, Scope
from tests.documents import put_document, put_documents
from tests.plans import plan_of, scans, sorts

pytestmark = pytest.mark.django_db


def test_no_query_of_a_search_scans(kb: KnowledgeBase) -> None:
    put_documents(kb, leave="Ten days of annual leave.", vpn="The network needs a token.")
    encoded = encode_question("annual leave")
    search_passages("annual leave", encoded, scope_of([kb]))
    forget_kinds()
    with CaptureQueriesContext(connection) as queries:
        scope = scope_of([kb])
        assert search_passages("annual leave", encoded, scope).hits
        stored_tokens(EntryKind.PASSAGE, [1, 2, 3], [1])
        passages_of_questions([1, 2, 3])
    assert len(asked_in(queries)) >= 5
    assert {sql: found for sql in asked_in(queries) if (found := scans(sql))} == {}


def test_the_number_of_queries_does_not_grow_with_what_is_found(kb: KnowledgeBase) -> None:
    put_documents(kb, **{f"d{number}": f"The network needs token {number}." for number in range(40)})
    scope, encoded = scope_of([kb]), encode_question("network token")
    search_passages("network token", encoded, scope)
    with CaptureQueriesContext(connection) as queries:
        assert len(search_passages("network token", encoded, scope, k=40).hits) == 40
    assert len(queries) <= 3


def test_reading_the_sections_around_passages_with_pages_scans_nothing(kb: KnowledgeBase) -> None:
    put_documents(kb, **{f"d{number}": f"The network needs token {number}." for number in range(40)})
    Passage.objects.update(page=1)
    passages = list(Passage.objects.values_list("pk", flat=True)[:4])
    with CaptureQueriesContext(connection) as queries:
        assert len(read_surroundings(passages, scope_of([kb]))) == 4
    assert {sql: found for sql in asked_in(queries) if (found := scans(sql))} == {}


@pytest.fixture
def news(kb: KnowledgeBase) -> KnowledgeBase:
    """Thirty documents of a year, each fifth without a day, some with tags and with an access list."""
    for number in range(30):
        day = "" if number % 5 == 0 else f"2026-{number % 12 + 1:02}-03"
        access = ("board",) if number % 7 == 0 else ()
        put_document(
            kb, f"n{number}", f"The bridge opened, part {number}.", day=day, category="city", tags=(f"t{number % 3}",), access=access
        )
    return kb


PAGES = [
    {},
    {"sort": "date"},
    {"group": "document"},
    {"mode": "lexical"},
    {"mode": "vector"},
    {"category": "city", "tags": "t1", "since": "2026-02-01", "month": "2026-05"},
]


@pytest.mark.parametrize("params", PAGES)
def test_a_page_with_facets_and_the_page_after_it_scan_nothing_and_take_four_queries(
    news: KnowledgeBase, params: dict[str, str], configure: Callable[..., None]
) -> None:
    configure(remember_s=60)  # in production a second: the query layer is not read at each search
    encoded = encode_question("bridge")
    search_in_turn(searched(**params), encoded, scope_of([news]))
    with CaptureQueriesContext(connection) as queries:
        first = search_in_turn(searched(k="5", **params), encoded, scope_of([news]))
        search_in_turn(searched(k="5", cursor=first["next"] or "", **params), encoded, scope_of([news]))
    assert first["hits"] and first["facets"]["category"]
    assert len(queries) <= 2 * 4  # revisions, facts of all hits, tokens of the first, the passages of the page
    assert {sql: found for sql in asked_in(queries) if (found := scans(sql))} == {}


@pytest.mark.parametrize("params", [{}, {"month": "2026-05"}, {"category": "city", "tags": "t1", "author": "Ada"}])
@pytest.mark.parametrize("groups", [None, ("board",)])
def test_the_pages_of_an_archive_go_along_an_index(news: KnowledgeBase, params: dict[str, str], groups: tuple[str, ...] | None) -> None:
    scope, cursor = scope_of([news], groups), ""
    with CaptureQueriesContext(connection) as queries:
        while cursor is not None:
            cursor = archive_page(read_browse(QueryDict(urlencode({"k": 4, "cursor": cursor, **params}))), scope)["next"]
    assert asked_in(queries)
    assert {sql: found for sql in asked_in(queries) if (found := scans(sql) + sorts(sql))} == {}


def searched(**params: str) -> Search:
    return read_search(QueryDict(urlencode({"q": "bridge", **params})))


def asked_in(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if query["sql"].lstrip().upper().startswith("SELECT")]


def test_what_hits_are_counted_by_is_read_without_their_texts(news: KnowledgeBase) -> None:
    with CaptureQueriesContext(connection) as queries:
        facts = read_facts(list(Passage.objects.values_list("pk", flat=True)), scope_of([news], groups=("board",)))
    assert len(facts) == 30 and {one.tags for one in facts.values()} == {("t0",), ("t1",), ("t2",)}
    plan = plan_of(queries[-1]["sql"])
    assert plan.count("COVERING INDEX") == 2 if connection.vendor == "sqlite" else "Seq Scan" not in plan


def test_what_is_closed_to_a_scope_is_not_read_whatever_an_index_says(news: KnowledgeBase) -> None:
    ids = list(Passage.objects.values_list("pk", flat=True))
    for groups, count in ((("sales",), 25), ((" BOARD ",), 30), (None, 30)):
        assert [len(read(ids, scope_of([news], groups=groups))) for read in (read_facts, read_passages)] == [count, count]


def test_nothing_of_a_document_lies_behind_its_text(kb: KnowledgeBase) -> None:
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, Document._meta.db_table)
    assert columns[-1].name == "text"


def test_a_passage_that_goes_while_a_page_is_made_is_left_out(news: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.retrieval.search.hybrid.read_passages", lambda ids, scope: read_passages(ids[1:], scope))
    answer = search_in_turn(searched(k="5"), encode_question("bridge"), scope_of([news]))
    assert len(answer["hits"]) == 4


def test_passages_of_another_base_are_not_read(kb: KnowledgeBase) -> None:
    documents = put_documents(kb, leave="Ten days of annual leave.")
    passage = documents["leave"].passages.get().pk
    assert read_passages([passage], Scope(kb_ids=(kb.pk + 1,))) == {}
    assert list(read_passages([passage], Scope(kb_ids=(kb.pk,)))) == [passage]
