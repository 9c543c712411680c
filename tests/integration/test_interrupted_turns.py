"""How do turns end whose process was killed?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.dialogue import streaming
from apps.dialogue.interrupted import GRACE_S, interrupt_late_turns
from apps.dialogue.models import Bot, Conversation, Turn
from apps.dialogue.streaming import replay_turn
from core.config import get_settings
from tests.plans import scans


@pytest.fixture
def conversation(bot: Bot) -> Conversation:
    return Conversation.objects.create(bot=bot)


def orphan(conversation: Conversation, *, age_s: float = 0.0, **values: object) -> Turn:
    """A turn as a killed process leaves it."""
    turn = Turn.objects.create(conversation=conversation, question="年假有几天？", **values)
    Turn.objects.filter(pk=turn.pk).update(created_at=timezone.now() - timedelta(seconds=age_s))
    return turn


@pytest.mark.parametrize("after", [0, 1, 7])
def test_whoever_resumes_it_is_told_that_it_failed(conversation: Conversation, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    monkeypatch.setattr(streaming, "LOST_S", 0.0)
    turn = orphan(conversation)
    frames = list(replay_turn(turn, after))
    assert (frames[-1]["type"], frames[-1]["error"]["code"], frames[-1]["error"]["retryable"]) == ("turn_failed", "interrupted", True)
    assert [frame["seq"] for frame in frames] == list(range(after + 1, after + 1 + len(frames)))
    assert Turn.objects.get().state == Turn.State.FAILED


def test_what_ran_beyond_its_deadline_is_ended_and_nothing_else(conversation: Conversation) -> None:
    late = get_settings().turn_deadline_s + GRACE_S + 1
    lost, young = orphan(conversation, age_s=late), orphan(conversation)
    done = orphan(conversation, age_s=late, state=Turn.State.FINISHED)
    assert interrupt_late_turns() == 1
    assert {turn.pk: turn.state for turn in Turn.objects.all()} == {lost.pk: "failed", young.pk: "running", done.pk: "finished"}
    assert Turn.objects.get(pk=lost.pk).error["code"] == "interrupted"
    assert interrupt_late_turns() == 0


def test_looking_for_them_reads_no_whole_table(conversation: Conversation) -> None:
    orphan(conversation, age_s=get_settings().turn_deadline_s + GRACE_S + 1)
    with CaptureQueriesContext(connection) as queries:
        interrupt_late_turns()
    (looked,) = (query["sql"] for query in queries if query["sql"].startswith("SELECT"))
    assert scans(looked) == []
