"""Addresses that a person names: which are taken, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.retrieval.sites.naming import MAX_SHOWN_CHARS, judge_names


def test_an_address_is_taken_once_and_as_it_names_a_page() -> None:
    named = judge_names(["https://Example.com/a#part", "https://example.com/a", "http://example.com:80"])
    assert (named.addresses, named.refused) == (("https://example.com/a", "http://example.com/"), ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("example.com/help", "It must begin with https:// or http://."),
        ("file:///etc/passwd", "It must begin with https:// or http://."),
        (7, "It must begin with https:// or http://."),
        ("https://", "name a host"),
        ("https://me:secret@example.com/", "no user"),
        ("http://127.0.0.1/", "no public address"),
        ("http://[::1]/", "no public address"),
        ("http://169.254.169.254/latest/meta-data", "no public address"),
        ("https://example.com:99999/", "not a URL"),
        ("https://example.com/" + "x" * 2000, "at most 2000 characters"),
    ],
)
def test_each_that_cannot_be_asked_for_says_why(text: object, reason: str) -> None:
    named = judge_names(["https://example.com/", text])
    assert named.addresses == ("https://example.com/",)
    assert [one.text for one in named.refused] == [str(text)[:MAX_SHOWN_CHARS]]
    assert reason in named.refused[0].reason


def test_hosts_of_the_own_network_are_taken_where_they_are_listed(configure: Callable[..., None]) -> None:
    configure(private_hosts="10.0.0.0/8")
    assert judge_names(["http://10.1.2.3/"]).addresses == ("http://10.1.2.3/",)
