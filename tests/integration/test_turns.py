"""A turn as a story: which events come, in which order, and what is stored of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

import pytest

from apps.accounts.permissions import ANYBODY, AccessRole, Caller
from apps.dialogue.gate import gate
from apps.dialogue.models import Bot, Conversation, Turn
from apps.dialogue.streaming import TurnError, ask, rebuild_frames, run_turn, turn_log
from apps.dialogue.turns import TurnRequest, answer_turn
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase
from core.backends import use_backend
from core.config import get_settings
from core.errors import ModelUnavailable, NotFound, QAError
from core.events import SourcesFound, TextDelta, TurnEvent, TurnFailed, TurnFinished, TurnStarted
from core.types import EncodedQuery, Source
from tests.encoders import HashingEncoder
from tests.skills import ScriptedSkill

pytestmark = pytest.mark.django_db
ANSWER = "".join(f"第{n}条：年假为{n}天，须提前申请。\n" for n in range(1, 900))
SOURCE = Source(kind="faq", id="x", title="X?", text="x", score=0.5)
SAID = [SourcesFound(sources=(SOURCE,)), TextDelta(text="one "), TextDelta(text="two ")]


@pytest.fixture(autouse=True)
def leave(kb: KnowledgeBase, admin_caller: Caller) -> None:
    rows = [
        {"id": "leave", "questions": ["年假有几天？"], "answer": ANSWER},
        {"id": "pay", "questions": ["When is payday?"], "answer": "Friday."},
    ]
    save_faqs(kb, [parse_row(row) for row in rows], admin_caller)


def turn_of(
    bot: Bot, text: str, *, caller: Caller = ANYBODY, conversation: str | None = None, cancel: Event | None = None
) -> list[TurnEvent]:
    return list(answer_turn(TurnRequest(bot=bot, caller=caller, text=text, conversation=conversation), cancel or Event()))


def types(events: list[TurnEvent]) -> list[str]:
    """The kinds of events in order, neighbours of one kind as one."""
    kinds = [event.type for event in events]
    return [kind for place, kind in enumerate(kinds) if place == 0 or kinds[place - 1] != kind]


def finished(events: list[TurnEvent]) -> TurnFinished:
    assert isinstance(events[-1], TurnFinished), events[-1]
    return events[-1]


def text_of(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_an_answer_is_chosen_sourced_told_and_finished(bot: Bot) -> None:
    events = turn_of(bot, "年假有几天")
    assert types(events) == ["turn_started", "skill_chosen", "sources_found", "text_delta", "turn_finished"]
    end = finished(events)
    assert text_of(events) == end.answer == ANSWER.strip()
    assert (end.answered, end.skill, end.confidence, end.stopped, end.degraded) == (True, "faq", 1.0, False, False)
    assert [source.id for source in end.sources] == ["leave"]
    assert {"total", "encode", "match", "answer"} <= set(end.timings_ms)


@pytest.mark.parametrize(("question", "field"), [("火星上的一天有多长", "fallback_zh"), ("How long is a Martian day?", "fallback_en")])
def test_what_nothing_fits_gets_the_fallback_in_the_readers_language(bot: Bot, question: str, field: str) -> None:
    events = turn_of(bot, question)
    assert types(events) == ["turn_started", "text_delta", "turn_finished"]
    end = finished(events)
    assert text_of(events) == end.answer == getattr(bot, field)
    assert (end.answered, end.skill, end.sources) == (False, None, ())


def test_a_question_without_letters_is_answered_in_the_bots_language(bot: Bot) -> None:
    assert finished(turn_of(bot, "😀 12 ??")).answer == bot.fallback_zh


def test_what_was_not_sure_enough_is_suggested(bot: Bot) -> None:
    bot.threshold = 1.1
    end = finished(turn_of(bot, "When is payday?"))
    assert not end.answered
    assert "When is payday?" in end.suggestions


def test_the_turn_is_stored_with_its_trace(bot: Bot) -> None:
    events = turn_of(bot, "When is\x00 payday?")
    turn = Turn.objects.get()
    assert (turn.question, turn.answer, turn.state, turn.skill, turn.answered) == ("When is payday?", "Friday.", "finished", "faq", True)
    assert turn.sources[0]["id"] == "pay"
    assert turn.trace["faq"]["exact"] is True
    assert turn.timings_ms == finished(events).timings_ms


def test_a_stop_ends_the_turn_with_what_was_said(bot: Bot) -> None:
    cancel = Event()
    events: list[TurnEvent] = []
    for event in answer_turn(TurnRequest(bot=bot, caller=ANYBODY, text="年假有几天"), cancel):
        events.append(event)
        if len(events) == 6:
            cancel.set()
    end = finished(events)
    assert end.stopped and len(events) == 7
    assert text_of(events) == end.answer and ANSWER.startswith(end.answer) and len(end.answer) < len(ANSWER)
    turn = Turn.objects.get()
    assert (turn.state, turn.answer) == ("stopped", end.answer)


def test_an_answer_over_the_deadline_fails_with_what_was_said(bot: Bot, configure: Callable, add_skills: Callable) -> None:
    add_skills(ScriptedSkill([*SAID, lambda: time.sleep(1.1), TextDelta(text="three")], about="slow"))
    configure(turn_deadline_s=1)
    events = turn_of(bot, "slow")
    assert isinstance(events[-1], TurnFailed)
    assert (events[-1].error["code"], events[-1].error["retryable"]) == ("deadline_exceeded", True)
    assert text_of(events) == "one two "
    turn = Turn.objects.get()
    assert (turn.state, turn.answer, turn.answered, turn.error["code"]) == ("failed", "one two ", False, "deadline_exceeded")


def test_a_broken_skill_is_left_out_and_degrades(bot: Bot, add_skills: Callable) -> None:
    add_skills(ScriptedSkill([], name="broken", fails=True), ScriptedSkill([TextDelta(text="On Mars.")], about="Martian"))
    end = finished(turn_of(bot, "Where do Martian cats sleep?"))
    assert (end.answer, end.skill, end.degraded) == ("On Mars.", "scripted", True)
    assert Turn.objects.get().trace["broken"] == {"failed": True}


def test_without_an_encoder_words_answer_and_the_turn_says_so(bot: Bot) -> None:
    class Away(HashingEncoder):
        def encode_query(self, text: str) -> EncodedQuery:
            raise ModelUnavailable("No worker serves the encoder.")

    use_backend(get_settings().encoder_backend, Away())
    end = finished(turn_of(bot, "When is payday?"))
    assert (end.answer, end.degraded) == ("Friday.", True)


def test_the_surest_skill_answers(bot: Bot, add_skills: Callable) -> None:
    add_skills(ScriptedSkill(SAID))
    assert finished(turn_of(bot, "When is payday?")).skill == "faq"
    assert finished(turn_of(bot, "a question that no FAQ has")).answer == "one two "


@pytest.mark.parametrize(("raised", "code"), [(ModelUnavailable("away"), "model_unavailable"), (RuntimeError("bug"), "internal")])
def test_a_skill_that_fails_while_answering_fails_the_turn(bot: Bot, add_skills: Callable, raised: Exception, code: str) -> None:
    add_skills(ScriptedSkill([*SAID, raised], about="fail"))
    events = turn_of(bot, "fail now")
    assert isinstance(events[-1], TurnFailed)
    assert events[-1].error["code"] == code
    assert "bug" not in str(events[-1].error)
    assert (Turn.objects.get().state, Turn.objects.get().error["code"]) == ("failed", code)


def test_ask_raises_what_failed_the_turn(bot: Bot, add_skills: Callable) -> None:
    add_skills(ScriptedSkill([ModelUnavailable("away", role="generator")], about="fail"))
    with pytest.raises(TurnError) as caught:
        ask(TurnRequest(bot=bot, caller=ANYBODY, text="fail now"))
    assert (caught.value.status, caught.value.as_dict()["code"], caught.value.details) == (503, "model_unavailable", {"role": "generator"})


OWNER = Caller(name="user:1", role=AccessRole.ASKER)


@pytest.mark.parametrize(
    ("caller", "goes_on"),
    [
        (OWNER, True),
        (Caller(name="user:2", role=AccessRole.REVIEWER), False),
        (ANYBODY, False),
        (Caller(name="user:3", role=AccessRole.ADMIN), True),
    ],
)
def test_a_conversation_goes_on_for_its_owner_and_managers_only(bot: Bot, caller: Caller, goes_on: bool) -> None:
    first = turn_of(bot, "When is payday?", caller=OWNER)[0]
    assert isinstance(first, TurnStarted)
    if goes_on:
        assert turn_of(bot, "年假有几天？", caller=caller, conversation=first.conversation)[0] == first
        assert Conversation.objects.get().turns.count() == 2
    else:
        with pytest.raises(NotFound):
            turn_of(bot, "年假有几天？", caller=caller, conversation=first.conversation)
        assert Turn.objects.count() == 1


def test_whoever_knows_the_id_goes_on_with_a_conversation_that_nobody_owns(bot: Bot) -> None:
    first = turn_of(bot, "When is payday?")[0]
    assert isinstance(first, TurnStarted)
    assert turn_of(bot, "When is payday?", caller=OWNER, conversation=first.conversation)[0] == first


def test_a_conversation_with_another_bot_is_not_found(bot: Bot) -> None:
    other = Bot.objects.create(slug="other", name="Other", public=True)
    conversation = Conversation.objects.create(bot=other)
    with pytest.raises(NotFound):
        turn_of(bot, "When is payday?", conversation=conversation.pk)


@pytest.mark.parametrize("conversation", ["", "nope", "\ud800", "a\x00" * 16, "0" * 32])
def test_an_id_that_is_none_is_not_found(bot: Bot, conversation: str) -> None:
    with pytest.raises(NotFound) as caught:
        turn_of(bot, "When is payday?", conversation=conversation)
    str(caught.value.as_dict()).encode()  # what is said of it can be sent


def told(bot: Bot, text: str, *, stop_after: int | None = None) -> list[dict]:
    """The frames of a turn as they were logged."""
    request = TurnRequest(bot=bot, caller=ANYBODY, text=text)
    for number, _ in enumerate(run_turn(request), 1):
        if number == stop_after:
            turn_log().cancel(request.turn)
            assert turn_log().watch_cancel(request.turn).wait(5)
    return list(turn_log().read(request.turn, 0))


def test_a_turn_is_logged_as_it_is_told(bot: Bot) -> None:
    frames = told(bot, "年假有几天？")
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    assert {frame["turn"] for frame in frames} == {Turn.objects.get().pk}
    assert "".join(frame.get("text", "") for frame in frames) == ANSWER.strip()


@pytest.mark.parametrize("question", ["年假有几天？", "When is payday?", "没有这样的问题吧", "fail now", "break now"])
def test_a_stored_turn_gives_the_same_frames_again(bot: Bot, add_skills: Callable, question: str) -> None:
    scripts = [
        ScriptedSkill([*SAID[:2], QAError("no")], about="fail", name="a"),
        ScriptedSkill([*SAID[:2], KeyError(1)], about="break", name="b"),
    ]
    add_skills(*scripts)
    assert list(rebuild_frames(told(bot, question) and Turn.objects.get())) == list(turn_log().read(Turn.objects.get().pk, 0))


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 40])
def test_a_stopped_turn_gives_the_same_frames_again(bot: Bot, stop_after: int) -> None:
    frames = told(bot, "年假有几天？", stop_after=stop_after)
    assert frames[-1]["stopped"] is True and len(frames) <= stop_after + 2
    assert list(rebuild_frames(Turn.objects.get())) == frames


class Waiting(HashingEncoder):
    """An encoder that says how many places of the gate were taken while it worked."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []

    def encode_query(self, text: str) -> EncodedQuery:
        self.taken.append(len(gate()._inside))
        return super().encode_query(text)


def test_an_answer_in_one_piece_holds_a_place_but_not_while_it_waits_for_the_encoder(bot: Bot, add_skills: Callable) -> None:
    encoder, answering = Waiting(), list[int]()
    use_backend(get_settings().encoder_backend, encoder)
    add_skills(ScriptedSkill([lambda: answering.append(len(gate()._inside)), TextDelta(text="said")], about="thread"))
    assert ask(TurnRequest(bot=bot, caller=ANYBODY, text="which thread", streamed=False))["answer"] == "said"
    assert (set(encoder.taken), answering) == ({0}, [1])
    assert not gate()._inside


def test_no_place_is_held_while_an_answer_is_being_written(bot: Bot, add_skills: Callable) -> None:
    answering = list[int]()
    add_skills(ScriptedSkill([lambda: answering.append(len(gate()._inside)), TextDelta(text="said")], about="thread"))
    bot.document_answers = Bot.DocumentAnswers.GENERATE
    ask(TurnRequest(bot=bot, caller=ANYBODY, text="which thread", streamed=False))
    assert answering == [0]
    assert not gate()._inside
