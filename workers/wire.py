"""What travels between web and worker: requests and replies as JSON, vectors as base64 of little-endian float32.

A list of numbers takes five times the bytes and 26 times the time. Deadlines are seconds of the epoch, because
machines share no monotonic clock; their clocks must agree within a fraction of a second (NTP).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InvalidRequest
from core.protocols import Chunk, GenerationRequest, Span, Usage
from core.types import FinishReason, FloatArray, JSONDict, JSONValue, Priority, Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One caller's work for a model; `body` is what its role reads."""

    id: str
    body: JSONDict
    deadline_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One message: the calls of several threads of a web process for one role, and the channel that waits for the replies."""

    role: str
    priority: Priority
    reply_to: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeBody:
    """What the encoder is asked. No texts ask for the model's id and dimension alone."""

    texts: tuple[str, ...]
    text_role: Role
    wants_tokens: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors:
    """What the encoder answers: float32[n, dim] and, where asked for, float32[tokens, dim] of each text; made by `model_id`."""

    model_id: str
    vectors: FloatArray
    token_vectors: tuple[FloatArray, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RerankBody:
    """What the reranker is asked. No passages ask for the model's id alone."""

    query: str
    passages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What the reranker answers: float32[n], made by `model_id`."""

    model_id: str
    scores: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TagBody:
    """What the tagger is asked. No texts ask for the model's id alone."""

    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tags:
    """What the tagger answers: the spans of each text, made by `model_id`."""

    model_id: str
    spans: tuple[tuple[Span, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateBody:
    """What the generator is asked. The text goes to the stream `text_id`; `deadline_at` is its own, the call's ends with its being taken."""

    text_id: str
    request: GenerationRequest
    deadline_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """What the generator answers at once: the process that writes the text."""

    host: str
    pid: int


def request_as_dict(request: Request) -> JSONDict:
    """The message as JSON."""
    calls: list[JSONValue] = [{"id": call.id, "body": call.body, "deadline_at": call.deadline_at} for call in request.calls]
    return {"role": request.role, "priority": request.priority.name.lower(), "reply_to": request.reply_to, "calls": calls}


def request_from_dict(message: Mapping[str, Any]) -> Request:
    """The message again. Raises InvalidRequest where it is none of ours (another release, or not from a web process)."""
    with refusing("an inference request"):
        return Request(
            role=str(message["role"]),
            priority=Priority[message["priority"].upper()],
            reply_to=str(message["reply_to"]),
            calls=tuple(Call(id=str(row["id"]), body=dict(row["body"]), deadline_at=float(row["deadline_at"])) for row in message["calls"]),
        )


def encode_as_dict(body: EncodeBody) -> JSONDict:
    """The body of an encoder's call as JSON."""
    return {"texts": list(body.texts), "text_role": body.text_role.value, "wants_tokens": body.wants_tokens}


def encode_from_dict(body: Mapping[str, Any]) -> EncodeBody:
    """The body again. Raises InvalidRequest."""
    with refusing("an encoder's call"):
        texts = _strings(body["texts"])
        return EncodeBody(texts=texts, text_role=Role(body["text_role"]), wants_tokens=bool(body["wants_tokens"]))


def rerank_as_dict(body: RerankBody) -> JSONDict:
    """The body of a reranker's call as JSON."""
    return {"query": body.query, "passages": list(body.passages)}


def rerank_from_dict(body: Mapping[str, Any]) -> RerankBody:
    """The body again. Raises InvalidRequest."""
    with refusing("a reranker's call"):
        query, *passages = _strings([body["query"], *body["passages"]])
        return RerankBody(query=query, passages=tuple(passages))


def scores_as_dict(result: Scores) -> JSONDict:
    """The reranker's answer as JSON."""
    return {"model_id": result.model_id, "scores": pack(result.scores)}


def scores_from_dict(row: Mapping[str, Any]) -> Scores:
    """The reranker's answer again."""
    return Scores(model_id=row["model_id"], scores=unpack(row["scores"], 1)[:, 0])


def tag_as_dict(body: TagBody) -> JSONDict:
    """The body of a tagger's call as JSON."""
    return {"texts": list(body.texts)}


def tag_from_dict(body: Mapping[str, Any]) -> TagBody:
    """The body again. Raises InvalidRequest."""
    with refusing("a tagger's call"):
        return TagBody(texts=_strings(body["texts"]))


def tags_as_dict(result: Tags) -> JSONDict:
    """The tagger's answer as JSON."""
    return {
        "model_id": result.model_id,
        "spans": [[[span.start, span.end, span.type, span.score] for span in spans] for spans in result.spans],
    }


def tags_from_dict(row: Mapping[str, Any]) -> Tags:
    """The tagger's answer again."""
    return Tags(model_id=row["model_id"], spans=tuple(tuple(Span(*fields) for fields in spans) for spans in row["spans"]))


def vectors_as_dict(result: Vectors) -> JSONDict:
    """The encoder's answer as JSON."""
    row: JSONDict = {"model_id": result.model_id, "dim": result.vectors.shape[1], "vectors": pack(result.vectors)}
    if result.token_vectors is not None:
        row["token_counts"] = [len(tokens) for tokens in result.token_vectors]
        row["token_vectors"] = pack(np.concatenate(result.token_vectors)) if result.token_vectors else ""
    return row


def generate_as_dict(body: GenerateBody) -> JSONDict:
    """The body of a generator's call as JSON."""
    request = body.request
    return {
        "text_id": body.text_id,
        "deadline_at": body.deadline_at,
        "messages": [list(message) for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop),
    }


def generate_from_dict(body: Mapping[str, Any], priority: Priority) -> GenerateBody:
    """The body again; the request has the seconds that are left. Raises InvalidRequest."""
    with refusing("a generator's call"):
        deadline_at = float(body["deadline_at"])
        request = GenerationRequest(
            messages=tuple((str(role), str(text)) for role, text in body["messages"]),
            max_tokens=int(body["max_tokens"]),
            temperature=float(body["temperature"]),
            top_p=float(body["top_p"]),
            seed=None if body["seed"] is None else int(body["seed"]),
            stop=tuple(map(str, body["stop"])),
            deadline_s=max(0.001, deadline_at - time.time()),
            priority=priority,
        )
        return GenerateBody(text_id=str(body["text_id"]), request=request, deadline_at=deadline_at)


def writer_as_dict(writer: Writer) -> JSONDict:
    """The generator's answer as JSON."""
    return {"host": writer.host, "pid": writer.pid}


def writer_from_dict(row: Mapping[str, Any]) -> Writer:
    """The generator's answer again."""
    return Writer(host=row["host"], pid=row["pid"])


def chunk_as_dict(chunk: Chunk) -> JSONDict:
    """A piece of text as JSON; what it does not have is left out."""
    row: JSONDict = {"text": chunk.text}
    if chunk.finish_reason is not None:
        row["finish_reason"] = chunk.finish_reason.value
    if chunk.usage is not None:
        row["usage"] = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
    return row


def chunk_from_dict(row: Mapping[str, Any]) -> Chunk:
    """A piece of text again."""
    usage = Usage(prompt_tokens=row["usage"][0], completion_tokens=row["usage"][1]) if "usage" in row else None
    return Chunk(text=row["text"], finish_reason=FinishReason(row["finish_reason"]) if "finish_reason" in row else None, usage=usage)


def vectors_from_dict(row: Mapping[str, Any]) -> Vectors:
    """The encoder's answer again. Its own arrays, so that no caller holds another's memory."""
    vectors = unpack(row["vectors"], row["dim"])
    counts = row.get("token_counts")
    tokens = None if counts is None else split(unpack(row["token_vectors"], row["dim"]), counts)
    return Vectors(model_id=row["model_id"], vectors=vectors, token_vectors=tokens)


def pack(vectors: FloatArray) -> str:
    """Base64 of the rows, one after another."""
    return base64.b64encode(np.ascontiguousarray(vectors, dtype="<f4").tobytes()).decode("ascii")


def unpack(text: str, dim: int) -> FloatArray:
    """float32[n, dim], writable."""
    return np.frombuffer(bytearray(base64.b64decode(text)), dtype="<f4").reshape(-1, dim)


def split(rows: FloatArray, counts: Sequence[int]) -> tuple[FloatArray, ...]:
    """The rows of each text."""
    return tuple(np.split(rows, np.cumsum(counts)[:-1])) if counts else ()


def _strings(values: Sequence[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise TypeError("texts must be strings")
    return tuple(values)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Around the reading of a message: what is not as it must be raises InvalidRequest."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest(f"Not {what}: {error!r}. Do web and workers run the same release?") from error
