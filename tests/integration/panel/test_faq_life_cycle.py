"""The life cycle of FAQs: curators publish, withdraw and delete them from the list."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from apps.accounts.models import AuditEntry
from apps.faq.models import FAQ, FAQStatus
from apps.retrieval.models import Entry, KnowledgeBase
from tests.panel import FAQ_LIST, SignIn


def act(client: Client, action: str, *faqs: FAQ, **more: str) -> object:
    return client.post(FAQ_LIST, {"action": action, "_selected_action": [faq.pk for faq in faqs], **more})


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("publish", FAQStatus.PUBLISHED),
        ("send_to_review", FAQStatus.IN_REVIEW),
        ("archive", FAQStatus.ARCHIVED),
        ("back_to_draft", FAQStatus.DRAFT),
    ],
)
def test_actions_move_faqs_and_what_can_be_found_follows(
    sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ], action: str, status: FAQStatus
) -> None:
    before = "draft" if status is FAQStatus.PUBLISHED else "published"
    faqs = [add(kb, name, [f"{name}?"], status=before) for name in "ab"]
    act(sign_in("reviewer"), action, *faqs)
    assert set(FAQ.objects.values_list("status", flat=True)) == {status.value}
    assert Entry.objects.filter(deleted=False).count() == (2 if status is FAQStatus.PUBLISHED else 0)


def test_an_editor_cannot_withdraw_what_is_published(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    live = add(kb, "live", ["a?"])
    client = sign_in("editor")
    act(client, "archive", live)
    assert "may not publish" in client.get(FAQ_LIST).content.decode()
    assert FAQ.objects.get().status == FAQStatus.PUBLISHED


def test_deleting_leaves_tombstones_and_an_audit_entry(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    one, two = add(kb, "one", ["a?"]), add(kb, "two", ["b?", "c?"])
    client = sign_in("reviewer")
    client.post(f"{FAQ_LIST}{one.pk}/delete/", {"post": "yes"})
    act(client, "delete_selected", two, post="yes")
    assert not FAQ.objects.exists()
    assert Entry.objects.filter(deleted=True, text="").count() == 3
    assert AuditEntry.objects.filter(action="delete_faqs").count() == 2


def test_an_editor_cannot_delete_what_is_published(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    draft, live = add(kb, "draft", ["a?"], status="draft"), add(kb, "live", ["b?"])
    client = sign_in("editor")
    assert act(client, "delete_selected", draft, live, post="yes").status_code == 403  # type: ignore[attr-defined]
    act(client, "delete_selected", draft, post="yes")
    assert FAQ.objects.get() == live
