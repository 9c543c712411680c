"""How does a chat become a completion? A bot goes through `answer_turn`, a generator writes by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

from apps.accounts.limits import Account, charge_use
from apps.accounts.permissions import Caller
from apps.dialogue.models import Bot
from apps.dialogue.openai.parameters import ChatRequest, Message
from apps.dialogue.openai.wire import Piece
from apps.dialogue.streaming import TurnError
from apps.dialogue.turns import TurnRequest, answer_turn, require_conversation
from apps.dialogue.understanding import check_question
from core.config import get_settings
from core.errors import InvalidRequest, QAError
from core.events import TextDelta, TurnFailed, TurnFinished, as_answer
from core.protocols import GenerationRequest, Generator, Usage
from core.text import clean_text
from core.tokens import estimate_all, estimate_tokens
from core.types import FinishReason, JSONDict

MAX_HISTORY = 20


def turn_of(request: ChatRequest, bot: Bot, caller: Caller, turn: str) -> TurnRequest:
    """The question that the chat ends with, as a turn. Raises InvalidRequest, and NotFound for an unknown conversation.

    The last message of the user is the question, what was said before it the history. A bot has instructions of its own,
    so that system messages are left out.
    """
    if request.stop:
        raise InvalidRequest("`stop` is for generators: the answer of a bot is not cut.", field="stop")
    asked = next((place for place, (role, _) in reversed(list(enumerate(request.messages))) if role == "user"), None)
    if asked is None:
        raise InvalidRequest("`messages` has no message of the role `user`: there is no question.", field="messages")
    checked = TurnRequest(
        bot=bot,
        caller=caller,
        text=_question(request.messages[asked][1]),
        conversation=request.conversation,
        history=_history(request.messages[:asked]),
        turn=turn,
        streamed=request.streamed,
    )
    require_conversation(checked)
    return checked


def _question(text: str) -> str:
    try:
        return check_question(text)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, field="messages") from error


def _history(messages: tuple[Message, ...]) -> tuple[str, ...]:
    most = get_settings().max_question_chars
    texts = (clean_text(text[:most]) for role, text in messages if role in ("user", "assistant"))
    return tuple(text for text in texts if text)[-MAX_HISTORY:]


def answer_as_pieces(turn: TurnRequest, prompt_tokens: int, cancel: Event) -> Iterator[Piece]:
    """The bot's answer. Raises the error that a failed turn carries."""
    for event in answer_turn(turn, cancel):
        if isinstance(event, TextDelta):
            yield Piece(text=event.text)
        elif isinstance(event, TurnFinished):
            usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=estimate_tokens(event.answer))
            yield Piece(text="", finish_reason="stop", usage=usage, facts=_facts(event, turn.turn))
        elif isinstance(event, TurnFailed):
            raise TurnError(event.error)


def _facts(event: TurnFinished, turn: str) -> JSONDict:
    """What the answer of a bot has beyond its text."""
    return {name: value for name, value in as_answer(event, turn=turn).items() if name not in ("answer", "timings_ms")}


def generation_of(request: ChatRequest) -> GenerationRequest:
    """The chat as a generator takes it. Raises InvalidRequest for a parameter that only bots have."""
    if request.conversation is not None:
        raise InvalidRequest("`conversation` is for bots: send a generator the whole chat in `messages`.", field="conversation")
    return GenerationRequest(
        messages=tuple(("system" if role == "developer" else role, text) for role, text in request.messages),
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=request.stop,
        seed=request.seed,
        deadline_s=get_settings().turn_deadline_s,
    )


def generate_as_pieces(generator: Generator, request: GenerationRequest, cancel: Event) -> Iterator[Piece]:
    """What the generator writes; tokens are estimated where it counts none."""
    texts: list[str] = []
    for chunk in generator.stream(request, cancel):
        texts.append(chunk.text)
        if chunk.finish_reason is None:
            yield Piece(text=chunk.text)
            continue
        yield Piece(text=chunk.text, finish_reason=_REASONS[chunk.finish_reason], usage=chunk.usage or _estimate(request, texts))
        return
    raise QAError("The generator ended without a finish reason.")


def charged(pieces: Iterator[Piece], account: Account, prompt_tokens: int) -> Iterator[Piece]:
    """The pieces, their cost counted at the end, whichever end it is; estimated where they do not say it."""
    began, said, failed = time.perf_counter(), 0, False
    usage: Usage | None = None
    try:
        for piece in pieces:
            said += estimate_tokens(piece.text)
            usage = piece.usage or usage
            yield piece
    except QAError:
        failed = True
        raise
    finally:
        spent = usage or Usage(prompt_tokens=prompt_tokens, completion_tokens=said)
        charge_use(account, spent, seconds=time.perf_counter() - began, failed=failed)


def _estimate(request: GenerationRequest, texts: list[str]) -> Usage:
    return Usage(prompt_tokens=prompt_tokens_of(request.messages), completion_tokens=estimate_tokens("".join(texts)))


def prompt_tokens_of(messages: tuple[Message, ...]) -> int:
    """An estimate of the tokens of a chat."""
    return estimate_all(text for _, text in messages)


# OpenAI's clients know no `deadline` and no `cancelled`: the first is a limit, and who cancelled does not listen.
_REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.DEADLINE: "length",
    FinishReason.CANCELLED: "stop",
}
