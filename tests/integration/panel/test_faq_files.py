"""Files of FAQs: an import is shown before it happens, an export holds what the list shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.faq.models import FAQ
from apps.retrieval.models import KnowledgeBase
from tests.panel import FAQ_LIST, SignIn


def upload(client: Client, kb: KnowledgeBase, text: str, name: str = "faqs.csv") -> object:
    return client.post(f"{FAQ_LIST}import/", {"kb": kb.pk, "locale": "", "file": SimpleUploadedFile(name, text.encode())})


def test_an_import_shows_what_would_happen_before_it_happens(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("reviewer")
    page = upload(client, kb, "id,question,answer\na,How?,So\nb,,Nothing asked\n")
    report = page.context["report"]  # type: ignore[attr-defined]
    assert (report.created, report.bad_count, report.bad[0].row) == (1, 1, 3)
    assert not FAQ.objects.exists()
    done = client.post(f"{FAQ_LIST}import/", {"token": page.context["token"]})  # type: ignore[attr-defined]
    assert done.context["report"].created == 1
    assert FAQ.objects.get().external_id == "a"


def test_an_upload_is_good_once_and_for_its_maker_only(sign_in: SignIn, kb: KnowledgeBase) -> None:
    mine, theirs = sign_in("reviewer"), sign_in("editor")
    token = upload(mine, kb, "question,answer\nHow?,So\n").context["token"]  # type: ignore[attr-defined]
    theirs.post(f"{FAQ_LIST}import/", {"token": token})
    assert not FAQ.objects.exists()
    mine.post(f"{FAQ_LIST}import/", {"token": token})
    assert FAQ.objects.count() == 1
    assert "no longer there" in mine.post(f"{FAQ_LIST}import/", {"token": token}).content.decode()


@pytest.mark.parametrize("name", ["faqs.xlsx", "faqs.jsonl", "faqs.csv"])
def test_a_useless_file_is_refused_with_a_reason(sign_in: SignIn, kb: KnowledgeBase, name: str) -> None:
    page = upload(sign_in("editor"), kb, "\x00\x01 nothing of use", name)
    assert page.status_code == 200  # type: ignore[attr-defined]
    assert not FAQ.objects.exists()


def test_a_viewer_cannot_import(sign_in: SignIn) -> None:
    assert sign_in("viewer").get(f"{FAQ_LIST}import/").status_code == 403


def test_an_export_holds_what_the_list_shows(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    add(kb, "a", ["How?"], "So")
    add(kb, "b", ["Why?"], "Because", status="draft")
    response = sign_in("viewer").get(f"{FAQ_LIST}export/jsonl/?status=draft&kb=hr")
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    assert '"b"' in text
    assert '"a"' not in text


def test_an_export_of_two_knowledge_bases_asks_for_one(
    sign_in: SignIn, kb: KnowledgeBase, other_kb: KnowledgeBase, add: Callable[..., FAQ]
) -> None:
    add(kb, "a", ["a?"])
    add(other_kb, "b", ["b?"])
    assert sign_in("viewer", everywhere=True).get(f"{FAQ_LIST}export/csv/").status_code == 302
