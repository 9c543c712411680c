"""The pages of bots: who changes one, trying it, and prompts that cannot be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse

from apps.dialogue.models import Bot, Turn
from apps.faq.models import FAQ
from apps.retrieval.models import KnowledgeBase
from tests.panel import SignIn


def test_trying_a_bot_shows_candidates_and_leaves_no_turn(sign_in: SignIn, kb: KnowledgeBase, bot: Bot, add: Callable[..., FAQ]) -> None:
    add(kb, "parking", ["Where to park?"], "Level two.")
    page = sign_in("viewer").post(reverse("admin:dialogue_bot_try_it", args=[bot.pk]), {"question": "where to park"})
    assert page.context["trial"].answer == "Level two."
    assert "parking" in page.content.decode()
    assert not Turn.objects.exists()


@pytest.mark.parametrize("question", ["", "\u200b", "x" * 10_001])
def test_trying_what_cannot_be_asked_says_why(sign_in: SignIn, bot: Bot, question: str) -> None:
    page = sign_in("viewer").post(reverse("admin:dialogue_bot_try_it", args=[bot.pk]), {"question": question})
    assert page.status_code == 200
    assert page.context["refusal"]


def test_a_bot_is_changed_only_by_who_manages_all_its_knowledge_bases(sign_in: SignIn, bot: Bot, other_kb: KnowledgeBase) -> None:
    client = sign_in("admin")
    assert client.get(f"/admin/dialogue/bot/{bot.pk}/change/").status_code == 200
    bot.kbs.add(other_kb)
    assert client.get(f"/admin/dialogue/bot/{bot.pk}/change/").status_code == 302


def test_a_prompt_that_cannot_be_used_is_refused_when_it_is_saved(sign_in: SignIn, bot: Bot) -> None:
    client, address = sign_in("admin"), f"/admin/dialogue/bot/{bot.pk}/change/"
    form = {
        "name": bot.name, "kbs": [kb.pk for kb in bot.kbs.all()], "locale": "zh", "fallback_zh": "x", "fallback_en": "x",
        "document_answers": "generate", "unsupported": "drop", "without_support": "extract",
    }  # fmt: skip
    refused = client.post(address, {**form, "prompt_en": "{{ sources }} {{ question.__class__ }}"})
    assert "Line 1 of the template does more than show" in refused.content.decode()
    assert client.post(address, {**form, "prompt_en": "{{ sources }}\n{{ question }}"}).status_code == 302
    bot.refresh_from_db()
    assert (bot.document_answers, bot.prompt_en) == ("generate", "{{ sources }}\n{{ question }}")
