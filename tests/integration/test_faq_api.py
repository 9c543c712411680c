"""Curating FAQs over HTTP: who may do what, how lists are paged, and that a change answers at once."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from apps.dialogue.models import Bot
from apps.retrieval.models import KnowledgeBase

pytestmark = pytest.mark.django_db
FAQS = "/api/v1/kbs/hr/faqs/"
LEAVE = {"id": "leave", "questions": ["年假有几天？", "How many days of leave?"], "answer": "十天。", "category": "人事", "locale": "zh"}


@pytest.fixture(autouse=True)
def base(bot: Bot) -> Bot:
    return bot


def answer_to(client: APIClient, question: str = "年假有几天？") -> str | None:
    """What the bot answers; None where it has no answer."""
    said = client.post("/api/v1/bots/helper/ask", {"question": question}, format="json").json()
    return said["answer"] if said["answered"] else None


def test_an_faq_is_made_read_changed_replaced_and_deleted(api: APIClient) -> None:
    made = api.post(FAQS, LEAVE, format="json")
    assert made.status_code == 201
    assert made.json() | {**LEAVE, "status": "published", "version": 1} == made.json()
    assert api.get(f"{FAQS}leave/").json() == made.json()
    changed = api.patch(f"{FAQS}leave/", {"category": "假期"}, format="json").json()
    assert (changed["category"], changed["answer"], changed["version"]) == ("假期", "十天。", 2)
    replaced = api.put(f"{FAQS}leave/", {"questions": ["q"], "answer": "a"}, format="json").json()
    assert (replaced["questions"], replaced["category"]) == (["q"], "")
    assert api.delete(f"{FAQS}leave/").status_code == 204
    assert api.get(f"{FAQS}leave/").status_code == 404


def test_a_misspelt_field_is_refused_and_what_was_given_is_taken_back(api: APIClient) -> None:
    whole = api.post(FAQS, LEAVE, format="json").json()
    refused = api.patch(f"{FAQS}leave/", {"valid_untill": "2026-01-01"}, format="json")
    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "valid_untill")
    assert api.put(f"{FAQS}leave/", whole, format="json").status_code == 200


def test_every_change_is_answered_at_once(api: APIClient) -> None:
    api.post(FAQS, LEAVE, format="json")
    assert answer_to(api) == "十天。"
    api.patch(f"{FAQS}leave/", {"answer": "十二天。"}, format="json")
    assert answer_to(api) == "十二天。"
    api.patch(f"{FAQS}leave/", {"questions": ["Where is the canteen?"]}, format="json")
    assert (answer_to(api), answer_to(api, "where is the canteen")) == (None, "十二天。")
    api.patch(f"{FAQS}leave/", {"status": "archived"}, format="json")
    assert answer_to(api, "where is the canteen") is None
    api.patch(f"{FAQS}leave/", {"status": "published"}, format="json")
    assert answer_to(api, "where is the canteen") == "十二天。"
    api.delete(f"{FAQS}leave/")
    assert [answer_to(api, "where is the canteen") for _ in range(3)] == [None] * 3


def test_an_editor_proposes_and_a_reviewer_publishes(client_with_role: Callable[..., APIClient]) -> None:
    editor, reviewer = client_with_role("editor"), client_with_role("reviewer")
    assert editor.post(FAQS, LEAVE, format="json").json()["status"] == "in_review"
    assert answer_to(editor) is None
    for refused in (
        editor.patch(f"{FAQS}leave/", {"status": "published"}, format="json"),
        editor.post(FAQS, LEAVE | {"id": "b", "status": "published"}, format="json"),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert reviewer.patch(f"{FAQS}leave/", {"status": "published"}, format="json").status_code == 200
    assert answer_to(editor) == "十天。"
    assert editor.delete(f"{FAQS}leave/").status_code == 403
    assert editor.patch(f"{FAQS}leave/", {"answer": "x", "status": "in_review"}, format="json").status_code == 403
    assert answer_to(editor) == "十天。"


@pytest.mark.parametrize(("role", "reads", "writes"), [("viewer", 200, 403), ("asker", 404, 404), ("editor", 200, 201)])
def test_a_role_may_so_much(client_with_role: Callable[..., APIClient], role: str, reads: int, writes: int) -> None:
    client = client_with_role(role)
    assert client.get(FAQS).status_code == reads
    assert client.post(FAQS, LEAVE, format="json").status_code == writes


def test_a_key_for_one_base_sees_no_other(client_with_role: Callable[..., APIClient], kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    client = client_with_role("admin", other)
    assert client.get(FAQS).status_code == 404
    assert client.get("/api/v1/kbs/it/faqs/").status_code == 200


def test_nobody_curates_without_a_key() -> None:
    for refused in (APIClient().get(FAQS), APIClient().post(FAQS, LEAVE, format="json"), APIClient().get("/api/v1/kbs/none/faqs/")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "not_authenticated")


BAD = [
    {"questions": ["x"]},
    {"questions": [], "answer": "x"},
    {"questions": "x", "answer": {"a": 1}},
    {"questions": ["x"], "answer": "y", "status": "dancing"},
    {"questions": ["x"], "answer": "y", "valid_from": "soon"},
    {"id": "a/b", "questions": ["x"], "answer": "y"},
    ["x"],
    "x",
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_a_bad_faq_is_refused_and_nothing_is_written(api: APIClient, body: object) -> None:
    refused = api.post(FAQS, body, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert api.get(FAQS).json()["total"] == 0


def test_an_id_is_taken_once(api: APIClient) -> None:
    api.post(FAQS, LEAVE, format="json")
    refused = api.post(FAQS, LEAVE, format="json")
    assert (refused.status_code, refused.json()["error"]["details"]) == (400, {"field": "id"})


def test_pages_by_cursor_hold_every_faq_once_while_others_change(api: APIClient) -> None:
    for number in range(7):
        api.post(FAQS, {"id": f"f{number}", "questions": [f"q{number}"], "answer": "a"}, format="json")
    first = api.get(FAQS, {"limit": 3}).json()
    assert ([faq["id"] for faq in first["results"]], first["total"]) == (["f6", "f5", "f4"], 7)
    api.patch(f"{FAQS}f5/", {"answer": "b"}, format="json")  # moves to the front
    second = api.get(FAQS, {"limit": 3, "cursor": first["next"]}).json()
    third = api.get(FAQS, {"limit": 3, "cursor": second["next"]}).json()
    assert [[faq["id"] for faq in page["results"]] for page in (second, third)] == [["f3", "f2", "f1"], ["f0"]]
    assert third["next"] is None


def test_lists_are_filtered(api: APIClient) -> None:
    api.post(FAQS, LEAVE, format="json")
    api.post(FAQS, {"id": "pay", "questions": ["When is payday?"], "answer": "Friday", "status": "draft"}, format="json")

    def ids(**wanted: str) -> list[str]:
        return [faq["id"] for faq in api.get(FAQS, wanted).json()["results"]]

    assert ids(status="draft") == ids(q="PAYDAY") == ids(locale="en") == ids(q="friday") == ["pay"]
    assert ids(category="人事") == ids(q="leave") == ["leave"]
    assert ids(q="100%") == []


WRONG = [("limit", "0"), ("limit", "201"), ("limit", "x"), ("limit", "٣"), ("limit", "9" * 5000), ("cursor", "x"), ("cursor", "WzEsMl0=")]
WRONG += [("cursor", "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwxXQ==")]  # a moment before the first year


@pytest.mark.parametrize(("name", "value"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_page_is_refused(api: APIClient, name: str, value: str) -> None:
    refused = api.get(FAQS, {name: value})
    assert (refused.status_code, refused.json()["error"]["details"]) == (400, {"field": name})


@pytest.mark.parametrize("id", ["no-such", "\x00", "x" * 300, "😀"])
def test_an_unknown_id_is_not_found(api: APIClient, id: str) -> None:
    assert api.get(f"{FAQS}{quote(id)}/").status_code == 404
    assert api.get(FAQS, {"q": id, "category": id}).json()["total"] == 0
