"""Signing in to the panel: passwords cannot be guessed at speed, and guessing locks nobody else out."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.accounts.signing_in import TRIES

PASSWORD = "the right one"


@pytest.fixture(autouse=True)
def person(db: None, quick_passwords: None) -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


def try_password(password: str, address: str = "192.0.2.1") -> bool:
    response = Client(REMOTE_ADDR=address).post("/admin/login/", {"username": "ada", "password": password})
    return bool(response.status_code == 302)


def test_the_right_password_opens_the_panel() -> None:
    response = Client().post("/admin/login/", {"username": "ada", "password": PASSWORD}, follow=True)
    assert response.redirect_chain == [("/admin/", 302)]
    assert response.status_code == 200


def test_who_knows_the_password_signs_in_as_often_as_they_like() -> None:
    assert all(try_password(PASSWORD) for _ in range(TRIES + 1))


def test_after_ten_tries_even_the_right_password_waits() -> None:
    assert not any(try_password("wrong") for _ in range(TRIES))
    assert not try_password(PASSWORD)


def test_a_stranger_who_guesses_does_not_lock_the_owner_out() -> None:
    assert not any(try_password("wrong") for _ in range(TRIES + 1))
    assert try_password(PASSWORD, address="192.0.2.2")


def test_capitals_make_no_fresh_name() -> None:
    assert not any(try_password("wrong") for _ in range(TRIES))
    refused = Client(REMOTE_ADDR="192.0.2.1").post("/admin/login/", {"username": "ADA", "password": "wrong"})
    assert refused.context["form"].has_error("__all__", "rate_limited")
