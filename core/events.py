"""What happens during a turn, as typed events, and their flat JSON form on the wire.

Order: `TurnStarted SkillChosen? SourcesFound? TextDelta* (Clarify | HandedOver)? (TurnFinished | TurnFailed)`.
The deltas joined equal the answer, nothing follows the end, and text never stands for an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from core.types import JSONDict, Source

MAX_DELTA_CHARS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnStarted:
    """The turn exists and belongs to this conversation."""

    type: ClassVar[str] = "turn_started"
    conversation: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillChosen:
    """Who answers, and how sure it is (0..1)."""

    type: ClassVar[str] = "skill_chosen"
    skill: str
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcesFound:
    """What the answer will rest on."""

    type: ClassVar[str] = "sources_found"
    sources: tuple[Source, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDelta:
    """The next piece of the answer, at most `MAX_DELTA_CHARS` characters."""

    type: ClassVar[str] = "text_delta"
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Clarify:
    """The question fits several answers; the person picks one."""

    type: ClassVar[str] = "clarify"
    question: str
    options: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedOver:
    """A person takes over."""

    type: ClassVar[str] = "handed_over"
    queue: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnFinished:
    """The end of a turn: the fields of the JSON answer."""

    type: ClassVar[str] = "turn_finished"
    conversation: str
    answer: str
    answered: bool
    skill: str | None
    confidence: float
    sources: tuple[Source, ...] = ()
    suggestions: tuple[str, ...] = ()
    degraded: bool = False
    stopped: bool = False
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnFailed:
    """The end of a turn that could not be answered, with the error object of the contract."""

    type: ClassVar[str] = "turn_failed"
    error: JSONDict


AnswerEvent: TypeAlias = SkillChosen | SourcesFound | TextDelta | Clarify | HandedOver
TurnEvent: TypeAlias = TurnStarted | AnswerEvent | TurnFinished | TurnFailed

ENDS = (TurnFinished.type, TurnFailed.type)


def as_wire(event: TurnEvent, *, turn: str, seq: int) -> JSONDict:
    """The event as clients get it: `{"type", "turn", "seq", …}` with the event's own fields beside them."""
    frame: JSONDict = {"type": event.type, "turn": turn, "seq": seq}
    match event:
        case SourcesFound(sources=sources):
            frame["sources"] = [source.as_dict() for source in sources]
        case TurnFinished():
            frame.update(as_answer(event, turn=turn), stopped=event.stopped)
        case Clarify(question=question, options=options):
            frame.update(question=question, options=list(options))
        case TurnStarted(conversation=conversation):
            frame["conversation"] = conversation
        case SkillChosen(skill=skill, confidence=confidence):
            frame.update(skill=skill, confidence=round(confidence, 4))
        case TextDelta(text=text):
            frame["text"] = text
        case HandedOver(queue=queue):
            frame["queue"] = queue
        case TurnFailed(error=error):
            frame["error"] = error
    return frame


def as_answer(event: TurnFinished, *, turn: str) -> JSONDict:
    """The JSON answer of `POST …/ask`."""
    return {
        "turn": turn,
        "conversation": event.conversation,
        "answer": event.answer,
        "answered": event.answered,
        "skill": event.skill,
        "confidence": round(event.confidence, 4),
        "sources": [source.as_dict() for source in event.sources],
        "suggestions": list(event.suggestions),
        "degraded": event.degraded,
        "timings_ms": {name: round(ms, 2) for name, ms in event.timings_ms.items()},
    }


def split_into_deltas(text: str, *, target_chars: int = 40) -> Iterator[TextDelta]:
    """Cuts a stored answer into pieces that a chat can show as they come, after punctuation where there is some.

    The pieces joined are exactly `text`. They grow with the place they begin at, so that the longest answer makes about 200;
    since nothing that follows matters to a piece, what was said of an answer that was stopped is cut again as it was.
    """
    start = 0
    while start < len(text):
        target = min(max(target_chars, start // 10), MAX_DELTA_CHARS // 2)
        end = min(start + target, len(text))
        while end < len(text) and end - start < 2 * target and text[end - 1] not in "。！？；，、.!?;, \n":
            end += 1
        yield TextDelta(text=text[start:end])
        start = end
