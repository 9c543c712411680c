"""What people see in place of a page that they cannot have: in their language, with a way on."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.retrieval.models import KnowledgeBase
from tests.panel import SignIn

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("language", "says"), [("zh-CN", "没有这个页面。"), ("en", "There is no such page.")])
def test_what_is_not_there_is_said_in_the_readers_language(client: Client, language: str, says: str) -> None:
    KnowledgeBase.objects.create(slug="news", name="News", open_search=True)
    for address in ("/nowhere", "/search/news/documents/gone/"):
        answer = client.get(address, headers={"accept-language": language})
        page = answer.content.decode()
        assert (answer.status_code, f'<html lang="{language}">' in page, f'<h1 class="reading-title">{says}</h1>' in page) == (
            404,
            True,
            True,
        )
        assert 'href="/"' in page


def test_who_may_not_open_a_page_of_the_panel_is_told_so(sign_in: SignIn, kb: KnowledgeBase) -> None:
    answer = sign_in("viewer", language="zh-CN").get("/admin/dialogue/evaluationrun/")
    assert (answer.status_code, "你无权打开这个页面。" in answer.content.decode()) == (403, True)
    assert 'href="/admin/"' in answer.content.decode()


def test_a_form_without_its_token_is_told_what_to_do(client: Client) -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {}, headers={"accept-language": "zh-CN"})
    assert (answer.status_code, "请返回，刷新页面后再提交一次。" in answer.content.decode()) == (403, True)
