"""The forms of the panel: what they offer, and that every field of them can be seen."""

from __future__ import annotations

import pytest

from apps.retrieval.models import IngestPolicy, KnowledgeBase, QueryLayer
from tests.panel import SignIn

MODELS = ("retrieval/knowledgebase", "retrieval/document", "retrieval/querylayer", "retrieval/ingestpolicy", "faq/faq", "dialogue/bot")


@pytest.mark.parametrize("model", MODELS)
def test_every_field_of_a_form_has_the_looks_of_one(sign_in: SignIn, kb: KnowledgeBase, model: str) -> None:
    form = sign_in("admin", everywhere=True).get(f"/admin/{model}/add/").context["adminform"].form
    assert [field.name for field in form.visible_fields() if 'class="' not in str(field)] == []


@pytest.mark.parametrize("model", ["retrieval/document", "retrieval/querylayer", "retrieval/ingestpolicy", "faq/faq"])
def test_a_form_does_not_offer_to_delete_the_knowledge_base_that_is_chosen_in_it(sign_in: SignIn, kb: KnowledgeBase, model: str) -> None:
    page = sign_in("admin", everywhere=True).get(f"/admin/{model}/add/").content.decode()
    assert 'name="kb"' in page and "delete_id_kb" not in page


@pytest.mark.parametrize(("model", "made"), [("querylayer", QueryLayer), ("ingestpolicy", IngestPolicy)])
def test_where_every_base_has_its_rules_none_are_to_be_added(
    sign_in: SignIn, kb: KnowledgeBase, model: str, made: type[QueryLayer | IngestPolicy]
) -> None:
    client = sign_in("admin", everywhere=True, language="en")
    assert "Choose a knowledge base" in client.get(f"/admin/retrieval/{model}/add/").content.decode()
    made.objects.create(kb=kb)
    assert f"/{model}/add/" not in client.get(f"/admin/retrieval/{model}/").content.decode()
