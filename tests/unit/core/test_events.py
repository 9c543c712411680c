"""Events: what goes over the wire, and how a stored answer is cut into deltas."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import (
    MAX_DELTA_CHARS,
    Clarify,
    HandedOver,
    SkillChosen,
    SourcesFound,
    TextDelta,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnStarted,
    as_answer,
    as_wire,
    split_into_deltas,
)
from core.types import JSONDict, Source

SOURCE = Source(kind="faq", id="leave", title="Leave?", text="Ten days.", score=0.912345)
FINISHED = TurnFinished(
    conversation="c", answer="Ten days.", answered=True, skill="faq", confidence=0.987654, sources=(SOURCE,), timings_ms={"total": 1.2345}
)


@given(st.text(max_size=3000))
def test_the_deltas_joined_are_the_text(text: str) -> None:
    assert "".join(delta.text for delta in split_into_deltas(text)) == text


@given(st.text(alphabet="年假。, a\n", max_size=5000), st.integers(1, 5000))
def test_no_delta_is_empty_or_longer_than_the_contract_says(text: str, target_chars: int) -> None:
    assert all(0 < len(delta.text) <= MAX_DELTA_CHARS for delta in split_into_deltas(text, target_chars=target_chars))


def test_a_delta_ends_after_punctuation_where_there_is_some() -> None:
    pieces = [delta.text for delta in split_into_deltas("第一句话。第二句话，还没有完。", target_chars=3)]
    assert pieces == ["第一句话。", "第二句话，", "还没有完。"]


def test_a_long_answer_makes_about_two_hundred_deltas() -> None:
    assert 100 <= len(list(split_into_deltas("长" * 100_000))) <= 210


def test_an_empty_answer_has_no_deltas() -> None:
    assert list(split_into_deltas("")) == []


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (TurnStarted(conversation="c"), {"conversation": "c"}),
        (SkillChosen(skill="faq", confidence=0.123456), {"skill": "faq", "confidence": 0.1235}),
        (
            SourcesFound(sources=(SOURCE,)),
            {"sources": [{"kind": "faq", "id": "leave", "title": "Leave?", "text": "Ten days.", "url": None, "score": 0.9123}]},
        ),
        (TextDelta(text="Ten"), {"text": "Ten"}),
        (Clarify(question="Which?", options=("a", "b")), {"question": "Which?", "options": ["a", "b"]}),
        (HandedOver(queue="hr"), {"queue": "hr"}),
        (TurnFailed(error={"code": "x"}), {"error": {"code": "x"}}),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_an_event_is_flat_on_the_wire(event: TurnEvent, fields: JSONDict) -> None:
    assert as_wire(event, turn="t", seq=3) == {"type": event.type, "turn": "t", "seq": 3, **fields}


def test_a_finished_turn_carries_the_fields_of_the_answer_and_whether_it_was_stopped() -> None:
    frame = as_wire(FINISHED, turn="t", seq=9)
    assert frame == {"type": "turn_finished", "seq": 9, "stopped": False, **as_answer(FINISHED, turn="t")}


def test_an_answer_rounds_what_is_measured() -> None:
    answer = as_answer(FINISHED, turn="t")
    assert (answer["confidence"], answer["timings_ms"]) == (0.9877, {"total": 1.23})


def test_a_source_shows_its_document_only_where_it_has_one_and_its_address_always() -> None:
    source = Source(kind="passage", id="1", title="", text="", score=1.0, document="handbook", url="/handbook")
    assert {"document": "handbook", "url": "/handbook"}.items() <= source.as_dict().items()
    assert "document" not in SOURCE.as_dict() and SOURCE.as_dict()["url"] is None


def test_a_source_comes_back_from_what_is_stored_of_it() -> None:
    source = Source(
        kind="passage", id="1", title="", text="Ten days.", score=0.5, document="a", start=7, end=16, page=2, marks=((0, 3), (4, 8))
    )
    assert Source.from_dict(orjson.loads(orjson.dumps(source.as_dict()))) == source
    assert Source.from_dict(SOURCE.as_dict()).as_dict() == SOURCE.as_dict()


def test_every_frame_is_json() -> None:
    assert orjson.loads(orjson.dumps(as_wire(FINISHED, turn="t", seq=1)))["sources"][0]["id"] == "leave"
