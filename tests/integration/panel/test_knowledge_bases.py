"""The pages of knowledge bases: what goes with one, and what renaming leaves alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import AuditEntry
from apps.faq.models import FAQ
from apps.retrieval.models import KnowledgeBase
from tests.panel import SignIn


def test_a_knowledge_base_goes_with_its_content_and_says_so(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    add(kb, "a", ["a?"])
    client = sign_in("admin", everywhere=True)
    assert "FAQs: 1" in re.sub(r"<[^>]+>|\s+", " ", client.get(f"/admin/retrieval/knowledgebase/{kb.pk}/delete/").content.decode()).replace(
        "  ", " "
    )
    client.post(f"/admin/retrieval/knowledgebase/{kb.pk}/delete/", {"post": "yes"})
    assert not KnowledgeBase.objects.exists()
    assert list(AuditEntry.objects.filter(action__startswith="delete").order_by("id").values_list("action", flat=True)) == [
        "delete_faqs",
        "delete_kb",
    ]


def test_renaming_a_knowledge_base_leaves_its_revision_alone(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("admin")
    page = client.get(f"/admin/retrieval/knowledgebase/{kb.pk}/change/")
    management = {
        f"{formset.formset.prefix}-{name}": "0"
        for formset in page.context["inline_admin_formsets"]
        for name in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    members = page.context["inline_admin_formsets"][0].formset
    rows = {f"{members.prefix}-0-{name}": members.forms[0][name].value() for name in ("id", "kb", "user", "role")}
    counts = {f"{members.prefix}-TOTAL_FORMS": "1", f"{members.prefix}-INITIAL_FORMS": "1"}
    sent = {"name": "People", "description": "", "locale": "zh", **management, **counts, **rows}
    with CaptureQueriesContext(connection) as queries:
        assert client.post(f"/admin/retrieval/knowledgebase/{kb.pk}/change/", sent).status_code == 302
    kb.refresh_from_db()
    assert kb.name == "People"
    assert not [query for query in queries if query["sql"].startswith("UPDATE") and '"revision" =' in query["sql"]]


@pytest.mark.parametrize("page", ["retrieval/knowledgebase", "dialogue/bot"])
def test_the_form_of_something_new_says_what_a_slug_is_for(sign_in: SignIn, page: str) -> None:
    assert "Its name in addresses and commands" in sign_in("admin", everywhere=True).get(f"/admin/{page}/add/").content.decode()
