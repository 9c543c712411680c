"""Which phrasings may answer at this moment, and how the database finds them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.permissions import Caller
from apps.faq.models import FAQQuestion
from apps.faq.rows import FAQRow
from apps.faq.selectors import answer_text, phrasings
from apps.faq.services import question_digest, save_faqs
from apps.retrieval.models import KnowledgeBase
from core.errors import NotFound
from core.types import Scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def scope(kb: KnowledgeBase) -> Scope:
    return Scope(kb_ids=(kb.pk,))


def save(kb: KnowledgeBase, caller: Caller, question: str, **more: object) -> int:
    save_faqs(kb, [FAQRow(id=None, questions=(question,), answer="yes", **more)], caller)  # type: ignore[arg-type]
    return FAQQuestion.objects.get(text=question).pk


def test_a_published_phrasing_answers_by_id_and_by_its_whole_question(kb: KnowledgeBase, admin_caller: Caller, scope: Scope) -> None:
    pk = save(kb, admin_caller, "How many days?")
    assert [one.id for one in phrasings([pk], "", scope)] == [pk]
    assert [one.id for one in phrasings([], question_digest("how many DAYS"), scope)] == [pk]


@pytest.mark.parametrize("status", ["draft", "in_review", "archived"])
def test_what_is_not_published_does_not_answer(kb: KnowledgeBase, admin_caller: Caller, scope: Scope, status: str) -> None:
    pk = save(kb, admin_caller, "How many days?", status=status)
    assert phrasings([pk], question_digest("How many days?"), scope) == []


@pytest.mark.parametrize(
    ("begins_in_h", "ends_in_h", "answers"), [(-2, 2, True), (1, 2, False), (-2, -1, False), (None, 2, True), (-2, None, True)]
)
def test_an_faq_answers_while_it_is_valid(
    kb: KnowledgeBase, admin_caller: Caller, scope: Scope, begins_in_h: int | None, ends_in_h: int | None, answers: bool
) -> None:
    dates = [None if hours is None else timezone.now() + timedelta(hours=hours) for hours in (begins_in_h, ends_in_h)]
    pk = save(kb, admin_caller, "How many days?", valid_from=dates[0], valid_until=dates[1])
    assert bool(phrasings([pk], "", scope)) is answers


def test_another_knowledge_base_is_out_of_scope(kb: KnowledgeBase, admin_caller: Caller) -> None:
    pk = save(kb, admin_caller, "How many days?")
    assert phrasings([pk], question_digest("How many days?"), Scope(kb_ids=(kb.pk + 1,))) == []
    assert phrasings([pk], question_digest("How many days?"), Scope(kb_ids=())) == []


def test_no_table_is_scanned(kb: KnowledgeBase, admin_caller: Caller, scope: Scope) -> None:
    pk = save(kb, admin_caller, "How many days?")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        phrasings([pk], "x", scope)
    if connection.vendor != "sqlite":  # PostgreSQL rightly scans tables of one row
        return
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        plan = [row[3] for row in cursor.fetchall()]
    assert plan and not any(step.startswith("SCAN") for step in plan)
    assert any("faq_faq" in step or "SEARCH f USING INTEGER PRIMARY KEY" in step for step in plan)


def test_an_answer_deleted_meanwhile_is_not_found(db: None) -> None:
    with pytest.raises(NotFound):
        answer_text(123)
