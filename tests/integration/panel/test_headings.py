"""What stands above the panel's pages: only what leads somewhere from there."""

from __future__ import annotations

import pytest

from apps.retrieval.models import KnowledgeBase
from tests.documents import put_document
from tests.panel import SignIn

MODELS = ("retrieval/document", "retrieval/querylayer", "retrieval/ingestpolicy", "faq/faq", "dialogue/bot")


@pytest.mark.parametrize("model", MODELS)
def test_the_page_that_adds_something_does_not_offer_to_add_it(sign_in: SignIn, kb: KnowledgeBase, model: str) -> None:
    client, address = sign_in("admin", everywhere=True), f"/admin/{model}/add/"
    assert f'href="{address}"' not in client.get(address).content.decode()
    assert f'href="{address}"' in client.get(f"/admin/{model}/").content.decode()


def test_a_list_offers_to_show_all_only_where_it_shows_less(sign_in: SignIn, kb: KnowledgeBase) -> None:
    put_document(kb, "a", "The canteen opens at noon.")
    client = sign_in("admin", everywhere=True, language="en")
    assert "Show all" not in client.get("/admin/retrieval/document/").content.decode()
    assert "Show all" in client.get("/admin/retrieval/document/?q=canteen").content.decode()
    assert "Show all" in client.get("/admin/retrieval/document/?status=draft").content.decode()


def test_a_name_stands_above_its_page_as_it_is(sign_in: SignIn, kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", "The canteen opens at noon.", title="privacy.en.html")
    page = sign_in("editor").get(f"/admin/retrieval/document/{document.pk}/change/").content.decode()
    assert ">privacy.en.html</a>" in page and "Privacy.en.html" not in page
