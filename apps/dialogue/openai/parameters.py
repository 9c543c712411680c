"""What does a client of the OpenAI-compatible routes ask for, and can it be done?

What would change the answer and is not done here is refused by name; what changes nothing a caller could see is ignored.
docs/api.md lists both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from core.errors import InvalidRequest
from core.types import JSONDict, JSONValue, Role

Message: TypeAlias = tuple[str, str]

DEFAULT_MAX_TOKENS = 1024
MAX_TOKENS = 32_768
MAX_MESSAGES = 1000
MAX_STOPS = 4
MAX_STOP_CHARS = 200
MAX_INPUTS = 2048

_ROLES = ("system", "developer", "user", "assistant")
_READ = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed",
    "conversation",
})  # fmt: skip
_READ_FOR_EMBEDDINGS = frozenset({"model", "input", "encoding_format", "dimensions", "input_type"})
_IGNORED = frozenset({
    "metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "safety_identifier",
    "service_tier", "store", "user", "verbosity",
})  # fmt: skip
_NEUTRAL: Mapping[str, tuple[JSONValue, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "web_search_options": (),
}
"""Parameters that would change the answer, each with the values that ask for nothing (null always does)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """A checked request for a completion. `temperature` and the like are a generator's; a bot has its own."""

    model: str
    messages: tuple[Message, ...]
    streamed: bool = False
    wants_usage: bool = False
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    conversation: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingsRequest:
    """A checked request for vectors. `role` says what the texts are to the encoder."""

    model: str
    texts: tuple[str, ...]
    base64: bool
    dimensions: int | None
    role: Role


def parse_chat(data: JSONDict) -> ChatRequest:
    """The body of `POST /v1/chat/completions`. Raises InvalidRequest whose `field` names the parameter."""
    _refuse_unsupported(data, _READ)
    streamed = _flag(data, "stream")
    return ChatRequest(
        model=_text(data, "model"),
        messages=_messages(data.get("messages")),
        streamed=streamed,
        wants_usage=_wants_usage(data, streamed=streamed),
        max_tokens=_max_tokens(data),
        temperature=_number(data, "temperature", low=0, high=2, default=1.0),
        top_p=_number(data, "top_p", low=0, high=1, default=1.0),
        stop=_stops(data.get("stop")),
        seed=_integer(data, "seed", low=-(2**63), high=2**63 - 1),
        conversation=_text(data, "conversation") if data.get("conversation") is not None else None,
    )


def parse_embeddings(data: JSONDict) -> EmbeddingsRequest:
    """The body of `POST /v1/embeddings`. Raises InvalidRequest whose `field` names the parameter."""
    _refuse_unsupported(data, _READ_FOR_EMBEDDINGS)
    return EmbeddingsRequest(
        model=_text(data, "model"),
        texts=_inputs(data.get("input")),
        base64=_choice(data, "encoding_format", ("float", "base64")) == "base64",
        dimensions=_integer(data, "dimensions", low=1, high=2**31),
        role=Role(_choice(data, "input_type", (Role.QUERY.value, Role.PASSAGE.value))),
    )


def _refuse_unsupported(data: JSONDict, read: frozenset[str]) -> None:
    for name, value in data.items():
        if name in read or name in _IGNORED or value is None:
            continue
        if name not in _NEUTRAL:
            raise InvalidRequest(f"Unknown parameter `{name[:80]}`.", field=name[:80])
        if value not in _NEUTRAL[name]:
            raise InvalidRequest(f"`{name}` is not supported here; leave it out.", field=name)


def _messages(value: JSONValue) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest("`messages` must be a list with at least one message.", field="messages")
    if len(value) > MAX_MESSAGES:
        raise InvalidRequest(f"`messages` has {len(value)} messages; at most {MAX_MESSAGES} are allowed.", field="messages")
    return tuple(_message(message, f"messages[{place}]") for place, message in enumerate(value))


def _message(value: JSONValue, where: str) -> Message:
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{where}` must be an object with `role` and `content`.", field=where)
    role = value.get("role")
    if role not in _ROLES:
        raise InvalidRequest(f"`{where}.role` must be one of {', '.join(_ROLES)}.", field=f"{where}.role")
    if value.get("tool_calls") or value.get("function_call") or value.get("audio"):
        raise InvalidRequest(f"`{where}` calls tools or carries sound; only text is supported here.", field=where)
    return str(role), _content(value.get("content"), f"{where}.content", may_be_missing=role == "assistant")


def _content(value: JSONValue, where: str, *, may_be_missing: bool) -> str:
    """The text of a message: a string, or its parts joined by line breaks."""
    if value is None and may_be_missing:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InvalidRequest(f"`{where}` must be text, or a list of parts of the type `text`.", field=where)
    texts = [part["text"] for part in value if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)]
    if len(texts) != len(value):
        raise InvalidRequest(f"`{where}` has a part that is no text; only parts of the type `text` are supported here.", field=where)
    return "\n".join(map(str, texts))


def _wants_usage(data: JSONDict, *, streamed: bool) -> bool:
    options = data.get("stream_options")
    if options is None:
        return False
    if not streamed or not isinstance(options, dict):
        raise InvalidRequest("`stream_options` is an object, and only for a stream.", field="stream_options")
    unknown = next((name for name in options if name not in ("include_usage", "include_obfuscation")), None)
    if unknown is not None:
        raise InvalidRequest(f"Unknown parameter `stream_options.{unknown[:80]}`.", field=f"stream_options.{unknown[:80]}")
    return _flag(options, "include_usage")


def _max_tokens(data: JSONDict) -> int:
    """The newer name goes before the older one."""
    newer = _integer(data, "max_completion_tokens", low=1, high=MAX_TOKENS)
    older = _integer(data, "max_tokens", low=1, high=MAX_TOKENS)
    return newer or older or DEFAULT_MAX_TOKENS


def _stops(value: JSONValue) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOPS
        or not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_CHARS for stop in stops)
    ):
        raise InvalidRequest(f"`stop` must be a text, or up to {MAX_STOPS} texts of 1 to {MAX_STOP_CHARS} characters.", field="stop")
    return tuple(map(str, stops))


def _inputs(value: JSONValue) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("`input` must be a text, or a list with at least one text.", field="input")
    if any(isinstance(text, int | list) for text in texts):
        raise InvalidRequest("`input` holds token ids: send texts, they are cut into tokens here.", field="input")
    if len(texts) > MAX_INPUTS:
        raise InvalidRequest(f"`input` has {len(texts)} texts; at most {MAX_INPUTS} are allowed.", field="input")
    bad = next((place for place, text in enumerate(texts) if not isinstance(text, str) or not text.strip()), None)
    if bad is not None:
        raise InvalidRequest(f"`input[{bad}]` must be a text that is not blank.", field=f"input[{bad}]")
    return tuple(map(str, texts))


def _text(data: JSONDict, name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"`{name}` is missing or is not text.", field=name)
    return value


def _flag(data: Mapping[str, JSONValue], name: str) -> bool:
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"`{name}` must be true or false.", field=name)
    return bool(value)


def _choice(data: JSONDict, name: str, allowed: tuple[str, ...]) -> str:
    """The value, or the first of those allowed where there is none."""
    value = data.get(name)
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(allowed)}.", field=name)
    return str(value)


def _number(data: JSONDict, name: str, *, low: float, high: float, default: float) -> float:
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(f"`{name}` must be a number from {low} to {high}.", field=name)
    return float(value)


def _integer(data: JSONDict, name: str, *, low: int, high: int) -> int | None:
    value = data.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
        raise InvalidRequest(f"`{name}` must be a whole number from {low} to {high}.", field=name)
    return value
