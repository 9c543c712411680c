"""The panel's first page: figures of the last days, in the reader's language."""

from __future__ import annotations

from apps.dialogue.models import Turn
from apps.retrieval.models import KnowledgeBase
from tests.documents import put_document
from tests.panel import SignIn


def test_the_first_page_counts_the_last_days_and_lists_what_had_no_answer(sign_in: SignIn, turns: list[Turn]) -> None:
    shown = sign_in("editor").get("/admin/").context["dashboard"]
    assert (shown["turns"]["total"], shown["turns"]["answered_percent"], shown["turns"]["liked"]) == (3, "33%", 1)
    assert [(row["times"], "phrasings=" in row["add_url"]) for row in shown["unanswered"]] == [(2, True)]


def test_the_first_page_shows_a_viewer_no_questions(sign_in: SignIn, turns: list[Turn]) -> None:
    assert "turns" not in sign_in("viewer").get("/admin/").context["dashboard"]


def test_the_panel_speaks_the_readers_language(sign_in: SignIn) -> None:
    assert "知识库" in sign_in("viewer", language="zh-CN").get("/admin/").content.decode()
    assert "Knowledge bases" in sign_in("editor", language="en").get("/admin/").content.decode()


def test_the_first_page_counts_what_waits_for_review(sign_in: SignIn, kb: KnowledgeBase) -> None:
    put_document(kb, "a", "A draft.", status="in_review")
    put_document(kb, "b", "Nobody waits for this.")
    page = sign_in("editor", language="en").get("/admin/")
    assert (page.context["dashboard"]["documents_in_review"], page.context["dashboard"]["in_review"]) == (1, 0)
    assert "Nobody asked anything in these days." in page.content.decode()
