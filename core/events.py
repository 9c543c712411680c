"""What happens during a turn, as typed events, and their flat JSON form on the wire.

Order: `TurnStarted SkillChosen? SourcesFound? TextDelta* (Clarify | HandedOver)? (TurnFinished | TurnFailed)`.
The deltas joined equal the answer, nothing follows the end, and text never stands for an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from core.types import JSONDict, Source

MAX_DELTA_CHARS = 1000
_CUT_AFTER = frozenset("。！？；，、.!?;, \n")


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


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerReport:
    """What a skill says of its answer when it is done. It is kept with the turn and sent to nobody.

    `answered` is false where the skill has nothing to say after all: it has then yielded nothing else. `degraded` says that
    part of the machinery was not there, `trace` how the answer came about. The tokens are those of a generator, if one was asked.
    """

    answered: bool = True
    degraded: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    trace: JSONDict = field(default_factory=dict)


SentEvent: TypeAlias = SkillChosen | SourcesFound | TextDelta | Clarify | HandedOver
AnswerEvent: TypeAlias = SentEvent | AnswerReport
TurnEvent: TypeAlias = TurnStarted | SentEvent | TurnFinished | TurnFailed

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
    return cut_as_it_comes([text], target_chars=target_chars)


def cut_as_it_comes(texts: Iterable[str], *, target_chars: int = 40) -> Iterator[TextDelta]:
    """Cuts a text that comes in parts in the places where `split_into_deltas` would cut the whole."""
    waiting, start = "", 0
    for text in texts:
        waiting += text
        while (length := _piece_chars(waiting, start, target_chars, is_whole=False)) > 0:
            yield TextDelta(text=waiting[:length])
            waiting, start = waiting[length:], start + length
    while waiting:
        length = _piece_chars(waiting, start, target_chars, is_whole=True)
        yield TextDelta(text=waiting[:length])
        waiting, start = waiting[length:], start + length


def _piece_chars(text: str, start: int, target_chars: int, *, is_whole: bool) -> int:
    """Characters of the next piece of an answer of which `text` follows after `start` characters; 0 where more must be known."""
    target = min(max(target_chars, start // 10), MAX_DELTA_CHARS // 2)
    for end in range(target, min(2 * target, len(text)) + 1):
        if end == 2 * target or text[end - 1] in _CUT_AFTER:
            return end
    return len(text) if is_whole else 0
