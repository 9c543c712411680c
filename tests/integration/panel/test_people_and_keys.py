"""The pages of people and keys: a key is shown once, and stays revoked."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group

from apps.accounts.keys import caller_of_user
from apps.accounts.models import ApiKey, User
from tests.panel import SignIn


def test_a_key_is_shown_once_and_stored_as_a_digest(sign_in: SignIn) -> None:
    client = sign_in("admin", everywhere=True)
    page = client.post(
        "/admin/accounts/apikey/add/",
        {"name": "crm", "role": "asker", "kb": "", "bot": "", "expires_at_0": "", "expires_at_1": ""},
        follow=True,
    )
    text = re.search(r"data-key>(wl_[\w-]+)<", page.content.decode())
    assert text is not None
    assert text[1] not in client.get("/admin/accounts/apikey/").content.decode()
    assert ApiKey.objects.get().prefix == text[1][:10]


def test_a_revoked_key_stays_revoked_and_cannot_be_edited(sign_in: SignIn, client_with_role: Callable[..., object]) -> None:
    client_with_role("viewer")
    client, key = sign_in("admin", everywhere=True), ApiKey.objects.get()
    client.post("/admin/accounts/apikey/", {"action": "revoke_keys", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert client.post(f"/admin/accounts/apikey/{key.pk}/change/", {"name": "other"}).status_code == 403


@pytest.mark.parametrize("page", ["user", "apikey", "membership", "auditentry"])
def test_every_page_of_people_opens_for_administrators(sign_in: SignIn, page: str) -> None:
    client = sign_in("admin", everywhere=True)
    assert client.get(f"/admin/accounts/{page}/").status_code == 200
    assert client.get(f"/admin/accounts/{page}/add/").status_code == (403 if page == "auditentry" else 200)


def test_people_get_their_groups_by_name_and_lose_those_that_are_taken_out(sign_in: SignIn) -> None:
    client, ann = sign_in("admin", everywhere=True), User.objects.create_user("ann")
    page, no_kb = f"/admin/accounts/user/{ann.pk}/change/", {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    client.post(page, {"username": "ann", "role": "viewer", "is_active": "on", "in_groups": "board， finance,board", **no_kb})
    assert caller_of_user(User.objects.get(username="ann")).groups == ("board", "finance")
    assert client.get(page).context["adminform"].form.initial["in_groups"] == "board, finance"
    client.post(page, {"username": "ann", "role": "viewer", "is_active": "on", "in_groups": "finance", **no_kb})
    assert caller_of_user(User.objects.get(username="ann")).groups == ("finance",)
    client.post(page, {"username": "ann", "role": "viewer", "is_active": "on", "in_groups": "x" * 121, **no_kb})
    assert not Group.objects.filter(name__startswith="xx").exists()
