"""Roles in the panel: who sees, changes, publishes and grants what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.accounts.models import User
from apps.faq.models import FAQ
from apps.retrieval.models import KnowledgeBase
from tests.panel import FAQ_LIST, SignIn, form_of, ids_shown


def test_people_see_only_the_knowledge_bases_of_their_roles(
    sign_in: SignIn, kb: KnowledgeBase, other_kb: KnowledgeBase, add: Callable[..., FAQ]
) -> None:
    add(kb, "mine", ["a?"])
    secret = add(other_kb, "secret", ["b?"])
    client = sign_in("viewer")
    assert ids_shown(client) == ["mine"]
    assert client.get(f"{FAQ_LIST}{secret.pk}/change/").status_code == 302
    assert client.get("/admin/retrieval/knowledgebase/").context["cl"].result_list == [kb]


@pytest.mark.parametrize(
    "page", ["accounts/user", "accounts/apikey", "accounts/membership", "accounts/auditentry", "dialogue/turn", "dialogue/conversation"]
)
def test_a_viewer_cannot_open_what_is_for_others(sign_in: SignIn, page: str) -> None:
    assert sign_in("viewer").get(f"/admin/{page}/").status_code == 403


def test_a_viewer_reads_and_changes_nothing(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    faq = add(kb, "a", ["a?"], status="draft")
    client = sign_in("viewer")
    assert "a?" in client.get(f"{FAQ_LIST}{faq.pk}/change/").content.decode()
    assert client.post(f"{FAQ_LIST}{faq.pk}/change/", form_of(faq, answer="Mine")).status_code == 403
    assert client.get(f"{FAQ_LIST}add/").status_code == 403


def test_an_editor_changes_drafts_but_not_what_is_published(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    draft, published = add(kb, "draft", ["a?"], status="draft"), add(kb, "live", ["b?"])
    client = sign_in("editor")
    assert client.post(f"{FAQ_LIST}{draft.pk}/change/", form_of(draft, answer="Better")).status_code == 302
    assert client.post(f"{FAQ_LIST}{published.pk}/change/", form_of(published, answer="Worse")).status_code == 403
    assert sorted(FAQ.objects.values_list("external_id", "answer")) == [("draft", "Better"), ("live", "An answer.")]


def test_an_editor_is_offered_no_way_to_publish(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("editor")
    form = client.get(f"{FAQ_LIST}add/").context["adminform"].form
    assert "published" not in dict(form.fields["status"].choices)
    sent = {"kb": kb.pk, "phrasings": "a?", "answer": "b", "status": "published"}
    assert client.post(f"{FAQ_LIST}add/", sent).context["errors"]
    assert not FAQ.objects.exists()


def test_an_administrator_of_one_knowledge_base_grants_no_other(sign_in: SignIn, kb: KnowledgeBase, other_kb: KnowledgeBase) -> None:
    client, somebody = sign_in("admin"), User.objects.create_user("somebody")
    sent = {"user": somebody.pk, "role": "admin"}
    assert client.post("/admin/accounts/membership/add/", {**sent, "kb": other_kb.pk}).status_code == 200
    assert client.post("/admin/accounts/membership/add/", {**sent, "kb": kb.pk}).status_code == 302
    assert list(somebody.memberships.values_list("kb__slug", flat=True)) == ["hr"]


def test_only_superusers_touch_superusers(sign_in: SignIn) -> None:
    root = User.objects.create_superuser("root")
    client = sign_in("admin", everywhere=True)
    assert client.post(f"/admin/accounts/user/{root.pk}/change/", {"username": "mine"}).status_code == 403
    assert client.post(f"/admin/accounts/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403
    somebody = User.objects.create_user("somebody")
    assert "is_superuser" not in client.get(f"/admin/accounts/user/{somebody.pk}/change/").context["adminform"].form.fields
