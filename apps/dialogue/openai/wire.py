"""How do completions, vectors, models and errors look to OpenAI's clients? Pure functions, no I/O.

Source: OpenAI's API reference, chat completions, embeddings and models. What a bot says beyond its text is under `wenlu`.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from core.errors import NotFound, QAError, RateLimited
from core.protocols import Usage
from core.types import FloatArray, JSONDict

_OWNER = "wenlu"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A piece of a completion. The last one has the finish reason (`stop` or `length`) and the usage; a bot's also its `facts`."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    facts: JSONDict | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """One row of the list of models; `created_at` in seconds of the epoch, 0 where nobody knows."""

    id: str
    kind: str
    created_at: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """What all parts of one completion share."""

    id: str
    model: str
    created_at: int = field(default_factory=lambda: int(time.time()))

    def whole(self, pieces: Iterable[Piece]) -> JSONDict:
        """The completion in one piece."""
        texts: list[str] = []
        last = Piece(text="", finish_reason="stop")
        for last in pieces:
            texts.append(last.text)
        message: JSONDict = {"role": "assistant", "content": "".join(texts), "refusal": None}
        choice: JSONDict = {"index": 0, "message": message, "logprobs": None, "finish_reason": last.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage_as_dict(last.usage), **_facts(last)}

    def chunks(self, pieces: Iterable[Piece], *, wants_usage: bool) -> Iterator[JSONDict]:
        """The completion as the objects of a stream: the role, the texts, the finish reason, the usage where it is wanted."""
        usage: JSONDict = {"usage": None} if wants_usage else {}
        last: Piece | None = None
        yield self._chunk({"role": "assistant", "content": ""}) | usage
        for last in pieces:
            if last.text:
                yield self._chunk({"content": last.text}) | usage
        if last is not None:
            yield self._chunk({}, last.finish_reason) | usage | _facts(last)
            if wants_usage:
                yield {**self._head("chat.completion.chunk"), "choices": [], "usage": usage_as_dict(last.usage)}

    def _chunk(self, delta: JSONDict, finish_reason: str | None = None) -> JSONDict:
        choice: JSONDict = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> JSONDict:
        return {"id": self.id, "object": kind, "created": self.created_at, "model": self.model}


def _facts(piece: Piece) -> JSONDict:
    return {} if piece.facts is None else {_OWNER: piece.facts}


def usage_as_dict(usage: Usage | None) -> JSONDict:
    """The `usage` object."""
    prompt, completion = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def embeddings_as_dict(vectors: FloatArray, *, model: str, as_base64: bool, prompt_tokens: int) -> JSONDict:
    """The list of vectors float32[n, dim]: numbers, or base64 of little-endian float32."""
    rows: list[JSONDict] = [
        {"object": "embedding", "index": place, "embedding": _packed(row) if as_base64 else row.tolist()}
        for place, row in enumerate(vectors)
    ]
    usage: JSONDict = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return {"object": "list", "data": list(rows), "model": model, "usage": usage}


def _packed(vector: FloatArray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def model_as_dict(row: ModelRow) -> JSONDict:
    """One model; `wenlu.kind` says whether it is a bot, a deployment or a role."""
    return {"id": row.id, "object": "model", "created": row.created_at, "owned_by": _OWNER, _OWNER: {"kind": row.kind}}


def models_as_dict(rows: Sequence[ModelRow]) -> JSONDict:
    """The list of models."""
    return {"object": "list", "data": [model_as_dict(row) for row in rows]}


def error_as_dict(error: QAError) -> JSONDict:
    """The body of a failed request. `code` is ours, but for the codes that clients look for; `param` is the field that is wrong."""
    shown = error.as_dict()
    details = error.details
    named = details.get("field")
    code = str(shown["code"])
    if isinstance(error, NotFound) and "model" in details:
        code, named = "model_not_found", "model"
    elif isinstance(error, RateLimited) or code == "rate_limited":
        code = "rate_limit_exceeded"
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": named if isinstance(named, str) else None, "code": code}}
