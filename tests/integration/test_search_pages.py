"""The search page and the archive: who may look into a knowledge base, what is counted, where a document is read."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import Membership, User
from apps.retrieval.models import KnowledgeBase
from tests.documents import put_document


@pytest.fixture
def news(kb: KnowledgeBase) -> KnowledgeBase:
    """Five documents of three months, one of them for directors only and one not published."""
    put_document(kb, "a", "Trains run late.", title="Trains", day="2026-03-05", category="travel", tags=("rail", "德国"), author="Ada")
    put_document(kb, "b", "Hotels are full.", title="Hotels", day="2026-03-20", category="travel")
    put_document(kb, "c", "Budgets grow.", title="Budgets", day="2026-05-01", category="money", tags=("rail",), access=("directors",))
    put_document(kb, "d", "No day is known.", title="Undated")
    put_document(kb, "e", "Not yet.", title="Draft", day="2026-06-01", status="draft")
    return kb


def ids(answer: dict) -> list[str]:
    return [hit["document"] for hit in answer["hits"]]


def archive(client: APIClient, **query: object) -> dict:
    answer = client.get("/api/v1/kbs/hr/archive", query)
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture
def reader(client_with_role: Callable[..., APIClient], news: KnowledgeBase) -> APIClient:
    return client_with_role("viewer", news)


def test_an_archive_lists_the_newest_first_and_counts_what_may_be_seen(reader: APIClient) -> None:
    answer = archive(reader)
    assert ids(answer) == ["b", "a", "d"]
    assert answer["facets"]["month"] == [{"value": "2026-03", "count": 2}]
    assert answer["facets"]["tags"] == [{"value": "rail", "count": 1}, {"value": "德国", "count": 1}]
    assert (answer["total"], answer["hits"][1]["text"]) == (3, "Trains run late.")


def test_an_editor_sees_in_an_archive_what_has_an_access_list(client_with_role: Callable[..., APIClient], news: KnowledgeBase) -> None:
    assert ids(archive(client_with_role("editor", news))) == ["c", "b", "a", "d"]


def test_an_archive_is_paged_without_repeating_or_losing_a_document(reader: APIClient) -> None:
    first = archive(reader, k=1)
    second = archive(reader, k=1, cursor=first["next"])
    third = archive(reader, k=1, cursor=second["next"])
    assert [*ids(first), *ids(second), *ids(third), third["next"]] == ["b", "a", "d", None]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"month": "2026-03"}, ["b", "a"]),
        ({"category": "travel", "tags": "德国"}, ["a"]),
        ({"until": "2026-03-10"}, ["a"]),
        ({"author": ["Ada", "Bob"]}, ["a"]),
        ({"author": "ADA", "category": "Travel", "language": "EN"}, ["a"]),
        ({"tags": "RAIL"}, ["a"]),
        ({"month": "2026-04"}, []),
    ],
)
def test_an_archive_is_narrowed(reader: APIClient, query: dict, expected: list[str]) -> None:
    answer = archive(reader, **query)
    assert (ids(answer), answer["total"]) == (expected, len(expected))


def test_an_archive_counts_anew_when_a_document_comes_in(reader: APIClient, news: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.retrieval.search.archive.COUNT_AGAIN_AFTER", 0)
    assert archive(reader)["total"] == 3
    put_document(news, "f", "Ferries sail.", day="2026-07-01")
    assert archive(reader)["facets"]["month"][0] == {"value": "2026-07", "count": 1}


def test_counts_that_were_dear_are_kept_for_a_while(reader: APIClient, news: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.retrieval.search.archive.COUNT_AGAIN_AFTER", 1e9)
    assert archive(reader)["total"] == 3
    put_document(news, "f", "Ferries sail.", day="2026-07-01")
    answer = archive(reader)
    assert (answer["total"], ids(answer)[0]) == (3, "f")


@pytest.mark.parametrize("query", ["month=2026-13", "cursor=x", "k=0", "since=yesterday", "cursor=WzEsMl0x", "cursor=WzAsMS41XQ=="])
def test_what_an_archive_cannot_be_asked_is_refused(reader: APIClient, query: str) -> None:
    assert reader.get(f"/api/v1/kbs/hr/archive?{query}").status_code == 400


# Who may search


def test_a_closed_base_leads_to_the_sign_in_page_and_the_api_says_so(news: KnowledgeBase) -> None:
    page = Client().get("/search/hr/?q=trains")
    assert (page.status_code, page.headers["Location"]) == (302, "/admin/login/?next=/search/hr/%3Fq%3Dtrains")
    assert Client().get("/search/hr/documents/a/").status_code == 302
    assert Client().get("/api/v1/kbs/hr/archive").status_code == 401


def test_an_open_base_is_searched_by_anybody_but_for_access_lists(news: KnowledgeBase) -> None:
    KnowledgeBase.objects.update(open_search=True)
    client = Client()
    assert client.get("/search/hr/").status_code == 200
    assert ids(client.get("/api/v1/kbs/hr/search?q=trains&mode=lexical").json()) == ["a"]
    assert ids(client.get("/api/v1/kbs/hr/search?q=budgets&mode=lexical").json()) == []
    assert client.get("/search/hr/documents/c/").status_code == 404
    assert client.get("/search/hr/documents/e/").status_code == 404
    assert client.get("/api/v1/kbs/hr/documents/a/").status_code == 401


def test_who_has_no_role_in_a_base_cannot_tell_it_from_one_that_is_not_there(news: KnowledgeBase) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody"))
    assert client.get("/search/hr/").status_code == 404
    assert client.get("/search/none/").status_code == 404


def test_what_nobody_signed_in_for_has_a_limit(news: KnowledgeBase, configure: Callable[..., None]) -> None:
    KnowledgeBase.objects.update(open_search=True)
    configure(ask_rate_per_minute=2)
    answers = [Client().get("/api/v1/kbs/hr/archive").status_code for _ in range(3)]
    assert answers == [200, 200, 429]


# Reading


def test_a_document_is_read_with_the_passage_marked(news: KnowledgeBase) -> None:
    user = User.objects.create_user("vera")
    Membership.objects.create(user=user, kb=news, role="viewer")
    client = Client()
    client.force_login(user)
    page = client.get("/search/hr/documents/a/?at=7-10").content.decode()
    assert re.search(r"Trains <span[^>]*>run</span> late\.", page)
    for at in ("9999999-3", "x", "5-2"):
        assert client.get(f"/search/hr/documents/a/?at={at}").status_code == 200


def test_several_places_of_a_document_are_marked_and_the_first_is_come_to(news: KnowledgeBase) -> None:
    KnowledgeBase.objects.update(open_search=True)
    put_document(news, "two", "One bridge.\n\nA road. Another bridge.")
    page = Client().get("/search/hr/documents/two/?at=21-36,0-11,x,8-11,90-99").content.decode()
    assert '<span id="found" class="reading-found">One bridge.</span>\n\nA road. <span class="reading-found">Another bridge.</span>' in page


def test_nothing_of_a_document_becomes_markup(news: KnowledgeBase) -> None:
    KnowledgeBase.objects.update(open_search=True)
    put_document(news, "x/<b>", "<script>alert(1)</script>", title="<i>")
    page = Client().get("/search/hr/documents/x/%3Cb%3E/")
    assert "<script>alert" not in page.content.decode()
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]


def test_what_a_search_finds_is_also_listed_read_and_summed_up_whatever_the_case_of_its_groups(news: KnowledgeBase) -> None:
    put_document(news, "g", "Gliders need wind.", access=("Pilots",))
    user = User.objects.create_user("vera")
    user.groups.create(name="PILOTS")
    Membership.objects.create(user=user, kb=news, role="viewer")
    client = Client()
    client.force_login(user)
    assert ids(client.get("/api/v1/kbs/hr/search?q=gliders&mode=lexical").json()) == ["g"]
    assert "g" in ids(archive(client))
    assert client.get("/search/hr/documents/g/").status_code == 200
    assert client.get("/api/v1/kbs/hr/documents/g/summary").status_code == 200
