"""The pages of turns: curators find them and see why; nobody edits them."""

from __future__ import annotations

import re

from apps.accounts.models import AuditEntry
from apps.dialogue.models import Bot, Turn
from apps.retrieval.models import KnowledgeBase
from tests.panel import SignIn


def test_turns_are_filtered_by_outcome_skill_vote_and_words(sign_in: SignIn, turns: list[Turn]) -> None:
    client = sign_in("editor")

    def shown(query: str) -> set[str]:
        return {turn.question for turn in client.get(f"/admin/dialogue/turn/?{query}").context["cl"].result_list}

    assert shown("outcome=unanswered") == {"Parking?", "parking"}
    assert shown("outcome=answered") == shown("skill=faq") == shown("vote=1") == shown("q=good") == {"good?"}
    assert shown("bot=helper") == {"good?", "Parking?", "parking"}


def test_a_turn_explains_itself_without_running_what_people_wrote(sign_in: SignIn, turns: list[Turn]) -> None:
    page = sign_in("editor").get(f"/admin/dialogue/turn/{turns[0].pk}/change/").content.decode()
    assert "&lt;b&gt;bold&lt;/b&gt;?" in page
    assert "<b>bold</b>" not in page
    assert "meaning 0.9" in page


def test_why_a_turn_went_so_is_told_in_the_readers_words_and_leads_to_what_was_found(sign_in: SignIn, turns: list[Turn]) -> None:
    found = {"id": "a.pdf", "phrasing": "The canteen opens at noon.", "score": 1.5, "contributions": {"cosine": 0.9, "of_tomorrow": 0.1}}
    trace = {"passage": {"confidence": 0.9, "accepted": True, "reasons": {"near_above": 1.25}, "candidates": [found]}}
    Turn.objects.filter(pk=turns[0].pk).update(trace=trace, timings_ms={"total": 12.0})
    page = sign_in("editor", language="zh-CN").get(f"/admin/dialogue/turn/{turns[0].pk}/change/").content.decode()
    assert 'href="/admin/retrieval/document/?q=a.pdf"' in page and "faq/faq/?q=a.pdf" not in page
    assert "语义 0.9" in page and "of_tomorrow 0.1" in page and "段落突出程度" in page and "合计" in page


def test_skills_are_called_by_what_people_call_them(sign_in: SignIn, turns: list[Turn]) -> None:
    Turn.objects.filter(pk=turns[0].pk).update(skill="passage", answered=True)
    Turn.objects.filter(pk=turns[1].pk).update(skill="of_tomorrow", answered=True)
    client = sign_in("editor", language="zh-CN")
    listed = client.get("/admin/dialogue/turn/").content.decode()
    assert ">文档<" in re.sub(r"\s", "", listed) and "of_tomorrow" in listed and ">passage<" not in re.sub(r"\s", "", listed)
    said = client.get(f"/admin/dialogue/conversation/{turns[0].conversation_id}/change/").content.decode()
    assert "文档 · " in said and "passage · " not in said


def test_turns_of_bots_over_foreign_knowledge_bases_are_hidden(
    sign_in: SignIn, turns: list[Turn], bot: Bot, other_kb: KnowledgeBase
) -> None:
    bot.kbs.add(other_kb)
    assert not sign_in("editor").get("/admin/dialogue/turn/").context["cl"].result_list


def test_nobody_edits_turns_or_the_audit_trail(sign_in: SignIn, turns: list[Turn]) -> None:
    client = sign_in("admin", everywhere=True)
    entry = AuditEntry.objects.create(actor="user:1", action="x", target="y")
    assert client.post(f"/admin/dialogue/turn/{turns[0].pk}/change/", {"answer": "no"}).status_code == 403
    assert client.post(f"/admin/accounts/auditentry/{entry.pk}/change/", {"actor": "me"}).status_code == 403
    assert client.post(f"/admin/accounts/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
