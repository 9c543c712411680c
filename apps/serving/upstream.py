"""A generator that runs elsewhere, behind an OpenAI-compatible address (vLLM, Ollama, DeepSeek, Qwen and others)."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import Event

import httpcore2
import orjson

from apps.serving.connections import Patience, Unreachable, exchange, header_of, read_bounded
from core.errors import Cancelled, DeadlineExceeded, InferenceFailed, InvalidRequest, ModelUnavailable, Overloaded, QAError
from core.generation import check_request
from core.protocols import Chunk, GenerationRequest, Usage
from core.text import clean_text
from core.types import FinishReason, JSONDict, JSONValue

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 2**20
MAX_ERROR_BYTES = 2**16
MAX_WAIT_S = 5.0
FIRST_WAIT_S = 0.25
_DONE = b"[DONE]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where a generator is reached. `base_url` ends before /chat/completions; timeouts in seconds; the key is never shown."""

    name: str
    base_url: str
    model: str
    key: str = field(default="", repr=False)
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    retries: int = 2

    def url(self, route: str) -> str:
        """The address of a route such as `chat/completions`."""
        return f"{self.base_url.rstrip('/')}/{route}"

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})


class UpstreamGenerator:
    """Streams from one endpoint; implements `core.protocols.Generator`.

    What fails before the first token is tried again up to `retries` times where that can help: the server cannot be reached,
    is full (429, its Retry-After is kept to where it is short) or breaks (5xx). Nothing is tried again once text was given.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def model_id(self) -> str:
        """The model's name there, and whose it is."""
        return f"{self._endpoint.name}:{self._endpoint.model}"

    def stream(self, request: GenerationRequest, cancel: Event) -> Iterator[Chunk]:
        """As the protocol says. Raises InvalidRequest where the endpoint refuses the request, Overloaded where it is full."""
        check_request(request)
        return self._stream(request, cancel)

    def _stream(self, request: GenerationRequest, cancel: Event) -> Iterator[Chunk]:
        until = time.monotonic() + request.deadline_s
        for attempt in range(self._endpoint.retries + 1):
            chunks = self._attempt(request, cancel, until)
            try:
                first = next(chunks)
            except QAError as error:
                wait_s = _wait_before(attempt, error)
                log.warning("upstream failed deployment=%s error=%s attempt=%d", self._endpoint.name, error.code, attempt + 1)
                if wait_s is None or attempt == self._endpoint.retries or time.monotonic() + wait_s >= until:
                    raise
                if cancel.wait(wait_s):
                    yield Chunk(text="", finish_reason=FinishReason.CANCELLED)
                    return
                continue
            yield first
            yield from chunks
            return

    def _attempt(self, request: GenerationRequest, cancel: Event, until: float) -> Iterator[Chunk]:
        """One request. What was written stays when it is cancelled or late."""
        endpoint, said = self._endpoint, False
        patience = Patience(connect_s=endpoint.connect_timeout_s, read_s=endpoint.read_timeout_s, until=until)
        body = orjson.dumps(_body(endpoint.model, request))
        try:
            with exchange(
                "POST",
                endpoint.url("chat/completions"),
                headers=endpoint.headers(),
                body=body,
                patience=patience,
                cancel=cancel,
                needs_tls=True,
            ) as response:
                _check_status(response, endpoint)
                for chunk in _chunks(_events(response), endpoint):
                    said = True
                    yield chunk
        except Cancelled:
            yield Chunk(text="", finish_reason=FinishReason.CANCELLED)
        except DeadlineExceeded:
            if not said or time.monotonic() < until:
                raise
            yield Chunk(text="", finish_reason=FinishReason.DEADLINE)


def list_upstream_models(endpoint: Endpoint, *, timeout_s: float = 10.0) -> list[str]:
    """The names of the models that the endpoint serves: shows that it can be reached and takes the key. Raises as `stream`."""
    patience = Patience(connect_s=endpoint.connect_timeout_s, read_s=timeout_s, until=time.monotonic() + timeout_s)
    with exchange("GET", endpoint.url("models"), headers=endpoint.headers(), patience=patience, needs_tls=True) as response:
        _check_status(response, endpoint)
        found = _parse(read_bounded(response.iter_stream(), MAX_LINE_BYTES), endpoint)
    rows = found.get("data")
    return [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row] if isinstance(rows, list) else []


def _body(model: str, request: GenerationRequest) -> JSONDict:
    body: JSONDict = {
        "model": model,
        "messages": [{"role": role, "content": text} for role, text in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    return body


def _wait_before(attempt: int, error: QAError) -> float | None:
    """Seconds until the next try; None where another try cannot help or would come too late."""
    if not isinstance(error, Unreachable | Overloaded):
        return None
    told = error.details.get("retry_after_s")
    wait_s = float(told) if isinstance(told, int | float) else FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5)
    return wait_s if wait_s <= MAX_WAIT_S else None


def _check_status(response: httpcore2.Response, endpoint: Endpoint) -> None:
    """Raises the error that a status means here. What the endpoint says of a refused key is not repeated: it may quote it."""
    status, name = response.status, endpoint.name
    if status == 200:
        return
    if status in (401, 403):
        raise ModelUnavailable(f"The deployment {name} refuses its key (status {status}).", deployment=name)
    if status == 429:
        raise Overloaded(f"The deployment {name} takes no more requests now.", deployment=name, **_retry_after(response))
    if status in (408, 409) or status >= 500:
        raise Unreachable(f"The deployment {name} failed (status {status}).", deployment=name)
    said, field = _complaint(read_bounded(response.iter_stream(), MAX_ERROR_BYTES))
    if status in (400, 413, 422):
        raise InvalidRequest(f"The deployment {name} refuses the request: {said}", deployment=name, **({"field": field} if field else {}))
    raise ModelUnavailable(f"The deployment {name} answers with the status {status}: {said}", deployment=name)


def _retry_after(response: httpcore2.Response) -> dict[str, float]:
    told = header_of(response, "retry-after")
    return {"retry_after_s": float(told)} if told.isascii() and told.isdigit() and len(told) < 7 else {}


def _complaint(body: bytes) -> tuple[str, str]:
    """What the endpoint says is wrong, cut to a sentence, and the parameter that it names (empty where it names none)."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    error = found.get("error", found) if isinstance(found, dict) else None
    said, param = (error.get("message"), error.get("param")) if isinstance(error, dict) else (error, None)
    text = clean_text(said)[:300] if isinstance(said, str) else ""
    return text or "it does not say why.", clean_text(param)[:80] if isinstance(param, str) else ""


def _events(response: httpcore2.Response) -> Iterator[bytes]:
    """The data of each server-sent event (HTML standard), until `[DONE]`."""
    for line in _lines(response.iter_stream()):
        if line.startswith(b"data:"):
            data = line[5:].strip()
            if data == _DONE:
                return
            yield data


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, whatever parts they come in. Raises InferenceFailed for one that never ends."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.rstrip(b"\r") for line in lines)
        if len(rest) > MAX_LINE_BYTES:
            raise InferenceFailed(f"The endpoint sent a line of more than {MAX_LINE_BYTES} bytes.")
    if rest:
        yield rest.rstrip(b"\r")


def _chunks(events: Iterable[bytes], endpoint: Endpoint) -> Iterator[Chunk]:
    """The text as it comes, then the end with its usage. Raises Unreachable where the stream ends without a finish reason."""
    reason: FinishReason | None = None
    usage: Usage | None = None
    for event in events:
        data = _parse(event, endpoint)
        if data.get("error"):
            raise Unreachable(f"The deployment {endpoint.name} failed: {_complaint(event)[0]}", deployment=endpoint.name)
        usage = _usage(data.get("usage")) or usage
        text, ended = _choice(data)
        reason = ended or reason
        if text:
            yield Chunk(text=text)
    if reason is None:
        raise Unreachable(f"The deployment {endpoint.name} broke off before its text ended.", deployment=endpoint.name)
    yield Chunk(text="", finish_reason=reason, usage=usage)


def _choice(data: JSONDict) -> tuple[str, FinishReason | None]:
    """The text and the finish reason of a chunk; a reason that is not `length` is an end like any other."""
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return "", None
    delta, ended = choice.get("delta"), choice.get("finish_reason")
    text = delta.get("content") if isinstance(delta, dict) else None
    reason = None if not ended else FinishReason.LENGTH if ended == "length" else FinishReason.STOP
    return (text if isinstance(text, str) else ""), reason


def _usage(value: JSONValue) -> Usage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def _parse(data: bytes, endpoint: Endpoint) -> JSONDict:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InferenceFailed(f"The deployment {endpoint.name} sent what is no JSON.", deployment=endpoint.name) from error
    if not isinstance(found, dict):
        raise InferenceFailed(f"The deployment {endpoint.name} sent what is no object.", deployment=endpoint.name)
    return found
