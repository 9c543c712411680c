"""Lists and pages of the panel that are asked for with what no column can hold: a list says so, a page is not there; nothing fails."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db
ODD = [
    "retrieval/document/?created_at__year=99999999999999",
    "retrieval/document/?tag=%00",
    "retrieval/document/?kb=%00",
    "faq/faq/?category=%00",
    "dialogue/turn/?id__exact=%00",
]


@pytest.mark.parametrize("address", ODD)
def test_a_list_says_that_it_cannot_be_narrowed_so(admin_client: Client, address: str) -> None:
    answer = admin_client.get(f"/admin/{address}")
    assert (answer.status_code, answer.headers["Location"].endswith("/?e=1")) == (302, True)


@pytest.mark.parametrize("address", ["dialogue/turn/%00/change/", "dialogue/conversation/%00/change/", "retrieval/document/%00/change/"])
def test_nothing_is_at_an_id_that_none_can_have(admin_client: Client, address: str) -> None:
    assert admin_client.get(f"/admin/{address}").status_code == 302


def test_a_list_of_a_base_of_no_possible_number_is_empty_or_says_so(admin_client: Client) -> None:
    assert admin_client.get("/admin/retrieval/ingestpolicy/?kb=99999999999999999999").status_code in (200, 302)


@pytest.mark.parametrize("kind", ["retrieval/ingestion", "dialogue/evaluationrun"])
def test_nobody_adds_a_report_by_hand(admin_client: Client, kind: str) -> None:
    assert admin_client.get(f"/admin/{kind}/add/").status_code == 403


def test_importing_into_a_base_of_an_odd_name_chooses_none(admin_client: Client) -> None:
    assert admin_client.get("/admin/faq/faq/import/?kb=%00").status_code == 200
