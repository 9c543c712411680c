"""Summaries of documents and of search results, and who may read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.retrieval.documents.drafts import drafts_of
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.summaries.documents import MAX_PASSAGES
from tests.documents import WRITER, put_document

pytestmark = pytest.mark.django_db
BRIDGE = (
    "The harbour bridge was closed on Monday after a ship struck it. Engineers found that the ship had damaged two pillars of the bridge. "
    "A kiosk nearby sells ice cream. The bridge will stay closed until the two pillars are repaired. The ship left for repairs of its own."
)


def summary(api: APIClient, id: str, **params: object) -> dict:
    answer = api.get(f"/api/v1/kbs/hr/documents/{id}/summary", params)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_document_in_its_own_sentences_with_where_they_stand(api: APIClient, kb: KnowledgeBase) -> None:
    document = put_document(kb, "https://example.com/news/1", BRIDGE, title="Bridge")
    said = summary(api, "https%3A%2F%2Fexample.com%2Fnews%2F1", sentences=3)
    assert (said["document"], said["title"], said["by"], said["passages"], said["read"]) == (
        document.external_id,
        "Bridge",
        "extraction",
        1,
        1,
    )
    assert [document.text[one["start"] : one["end"]] for one in said["sentences"]] == [one["text"] for one in said["sentences"]]
    assert [one["start"] for one in said["sentences"]] == sorted(one["start"] for one in said["sentences"])
    assert said["text"] == " ".join(one["text"] for one in said["sentences"])
    assert said["sentences"][0]["text"].startswith("The harbour bridge was closed")
    assert "ice cream" not in said["text"]


def test_a_short_document_is_its_own_summary(api: APIClient, kb: KnowledgeBase) -> None:
    put_document(kb, "a", "年假十天，须提前申请。")
    assert summary(api, "a", sentences=20)["text"] == "年假十天，须提前申请。"


def test_of_a_long_document_some_passages_are_read_and_that_is_said(api: APIClient, kb: KnowledgeBase) -> None:
    paragraphs = [
        f"Chapter {number} speaks of walruses and of number {number}. " + "It says so at length and in whole sentences. " * 25
        for number in range(130)
    ]
    put_document(kb, "long", "\n\n".join(paragraphs))
    with CaptureQueriesContext(connection) as queries:
        said = summary(api, "long", sentences=5)
    assert said["passages"] > MAX_PASSAGES == said["read"]
    assert len(said["sentences"]) == 5
    assert len(queries) < 12


@pytest.mark.parametrize("sentences", ["0", "21", "x", "1e3", "９"])
def test_a_bad_number_of_sentences_is_refused(api: APIClient, kb: KnowledgeBase, sentences: str) -> None:
    put_document(kb, "a", BRIDGE)
    answer = api.get("/api/v1/kbs/hr/documents/a/summary", {"sentences": sentences})
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "sentences")


def test_what_a_search_would_not_show_is_not_summed_up(
    client_with_role: Callable[..., APIClient], api: APIClient, kb: KnowledgeBase
) -> None:
    put_document(kb, "open", BRIDGE)
    put_document(kb, "secret", BRIDGE, access=("board",))
    put_document(kb, "draft", BRIDGE, status="draft")
    reader = client_with_role("viewer")
    statuses = {id: reader.get(f"/api/v1/kbs/hr/documents/{id}/summary").status_code for id in ("open", "secret", "draft", "none")}
    assert statuses == {"open": 200, "secret": 404, "draft": 404, "none": 404}
    assert all(api.get(f"/api/v1/kbs/hr/documents/{id}/summary").status_code == 200 for id in ("open", "secret", "draft"))
    assert APIClient().get("/api/v1/kbs/hr/documents/open/summary").status_code == 401


def test_results_in_sentences_that_speak_of_the_question(client_with_role: Callable[..., APIClient], kb: KnowledgeBase) -> None:
    put_document(kb, "bridge", BRIDGE, title="Bridge", url="https://example.com/1", day="2026-03-01")
    put_document(kb, "secret", "The bridge was struck on purpose, the board believes.", access=("board",))
    put_document(kb, "soup", "The canteen serves soup of pumpkins every Tuesday at noon.")
    answer = client_with_role("viewer").get(
        "/api/v1/kbs/hr/search/summary", {"q": "Which pillars of the bridge were damaged?", "sentences": 2}
    )
    said = answer.json()
    assert answer.status_code == 200
    assert "damaged two pillars" in said["text"] and "purpose" not in said["text"]
    first = next(one for one in said["sentences"] if "damaged" in one["text"])
    document = Document.objects.get(external_id="bridge")
    assert document.text[first["start"] : first["end"]] == first["text"]
    assert (first["document"], first["title"], first["url"], first["date"]) == ("bridge", "Bridge", "https://example.com/1", "2026-03-01")
    assert (said["by"], said["degraded"], said["documents"]) == ("extraction", False, 2)


def test_results_are_narrowed_as_a_search_is(api: APIClient, kb: KnowledgeBase) -> None:
    put_document(kb, "a", BRIDGE, category="city")
    put_document(kb, "b", "The bridge is a card game for four people.", category="games")
    said = api.get("/api/v1/kbs/hr/search/summary", {"q": "bridge", "category": "games"}).json()
    assert {one["document"] for one in said["sentences"]} == {"b"}


def test_where_nothing_is_found_nothing_is_said(api: APIClient, kb: KnowledgeBase) -> None:
    said = api.get("/api/v1/kbs/hr/search/summary", {"q": "bridge"}).json()
    assert (said["text"], said["sentences"], said["hits"]) == ("", [], 0)
    assert api.get("/api/v1/kbs/hr/search/summary").status_code == 400


def test_an_archived_document_is_summed_up_no_more(api: APIClient, client_with_role: Callable[..., APIClient], kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", BRIDGE)
    draft = drafts_of([document])[0]
    save_documents(kb, [replace(draft, row=replace(draft.row, status="archived"))], WRITER)
    assert client_with_role("viewer").get("/api/v1/kbs/hr/documents/a/summary").status_code == 404
    assert api.get("/api/v1/kbs/hr/search/summary", {"q": "bridge"}).json()["hits"] == 0
