"""The list of FAQs: curators find them by words, filters and tabs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from apps.faq.models import FAQ
from apps.retrieval.models import KnowledgeBase
from tests.panel import FAQ_LIST, SignIn, ids_shown


def test_search_looks_into_every_phrasing_answer_and_id_and_shows_a_row_once(
    sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]
) -> None:
    add(kb, "leave-days", ["How much leave?", "leave days", "leave per year"], "Twenty.")
    add(kb, "parking", ["Where to park?"], "Level two, leave by ten.")
    client = sign_in("viewer")
    assert sorted(ids_shown(client, "q=leave")) == ["leave-days", "parking"]
    assert ids_shown(client, "q=leave+year") == ["leave-days"]
    assert ids_shown(client, "q=parking") == ["parking"]


def test_filters_choose_by_status_category_language_and_validity(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    now = timezone.now()
    add(kb, "old", ["a?"], category="HR", valid_until=now - timedelta(days=1))
    add(kb, "soon", ["b?"], locale="zh", valid_from=now + timedelta(days=1))
    add(kb, "draft", ["c?"], status="draft")
    client = sign_in("viewer")
    assert ids_shown(client, "valid=expired") == ["old"]
    assert ids_shown(client, "valid=upcoming") == ["soon"]
    assert ids_shown(client, "valid=now") == ["draft"]
    assert ids_shown(client, "status=draft") == ["draft"]
    assert ids_shown(client, "category=HR") == ["old"]
    assert ids_shown(client, "locale=zh") == ["soon"]


def test_the_list_costs_as_many_queries_for_forty_rows_as_for_two(
    sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ], django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for number in range(40):
        add(kb, f"faq-{number}", [f"question {number}?", f"and {number}"])
    client = sign_in("viewer")
    with django_assert_max_num_queries(20):  # type: ignore[attr-defined]
        assert len(ids_shown(client)) == 40


def test_tabs_count_each_step_of_the_life_cycle(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    add(kb, "a", ["a?"])
    add(kb, "b", ["b?"], status="draft")
    tabs = sign_in("viewer").get(FAQ_LIST).context["status_tabs"]()
    assert [(tab["label"], tab["count"]) for tab in tabs] == [("All", 2), ("Draft", 1), ("In review", 0), ("Published", 1), ("Archived", 0)]
