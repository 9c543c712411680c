"""An OpenAI-compatible server for tests: real HTTP over a real socket, each request answered as the script says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from itertools import chain
from pathlib import Path
from typing import Any

from core.errors import QAError
from core.protocols import GenerationRequest, Generator
from tests.servers import answering

Answer = Callable[["Exchange"], None]


@dataclass
class Script:
    """The answers in their order (the last one again and again), and what was asked: path, headers, body."""

    answers: list[Answer]
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Exchange(BaseHTTPRequestHandler):
    """One request and what is sent back."""

    script: Script
    body: Any

    def do_POST(self) -> None:
        """Notes the request and plays the next answer."""
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        self.body = json.loads(body or b"null")
        self.script.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, self.body))
        self.script.next()(self)

    do_GET = do_POST  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def event(self, data: object) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()


def says(*texts: str, reason: str | None = "stop", usage: tuple[int, int] | None = (5, 2), done: bool = True) -> Answer:
    """A streamed completion; without a reason it breaks off."""

    def answer(exchange: Exchange) -> None:
        exchange.head(200, content_type="text/event-stream")
        exchange.wfile.write(b": a comment\n\n")
        exchange.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        for text in texts:
            exchange.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        if reason:
            exchange.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if usage:
            exchange.event({"choices": [], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}})
        if done and reason:
            exchange.event("[DONE]")

    return answer


def fails(status: int, message: str = "", param: str | None = None, **headers: str) -> Answer:
    """An error of OpenAI's shape."""

    def answer(exchange: Exchange) -> None:
        exchange.head(status, **headers)
        exchange.wfile.write(json.dumps({"error": {"message": message, "param": param}}).encode())

    return answer


def writes(generator: Generator) -> Answer:
    """What the generator writes; who leaves ends it."""

    def answer(exchange: Exchange) -> None:
        body = exchange.body
        messages = tuple((message["role"], message["content"]) for message in body["messages"])
        limits = {name: body[name] for name in ("max_tokens", "temperature", "top_p", "seed") if name in body}
        request = GenerationRequest(messages=messages, stop=tuple(body.get("stop", ())), **limits)
        try:
            chunks = generator.stream(request, threading.Event())
            first = next(chunks)
        except QAError as error:
            fails(error.status, error.message, str(error.details.get("field")))(exchange)
            return
        exchange.head(200, content_type="text/event-stream")
        with suppress(OSError):
            for chunk in chain([first], chunks):
                choice = {"index": 0, "delta": {"content": chunk.text}, "finish_reason": chunk.finish_reason}
                usage = {name: getattr(chunk.usage, name) for name in ("prompt_tokens", "completion_tokens")} if chunk.usage else None
                exchange.event({"choices": [choice], "usage": usage})
            exchange.event("[DONE]")
        chunks.close()  # type: ignore[attr-defined]

    return answer


def hangs(*texts: str) -> Answer:
    """Says the texts, then nothing until its client leaves; sets `script.left` then."""

    def answer(exchange: Exchange) -> None:
        exchange.head(200, content_type="text/event-stream")
        for text in texts:
            exchange.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        exchange.connection.settimeout(10)
        if exchange.connection.recv(1) == b"":
            exchange.script.left.set()

    return answer


def hangs_up(exchange: Exchange) -> None:
    """Closes the connection without a word."""
    exchange.close_connection = True


@contextmanager
def upstream(*answers: Answer, certificate: tuple[Path, Path] | None = None) -> Iterator[Script]:
    """The server while the block runs, over TLS where it has a certificate; its address is `script.url`."""
    script = Script(list(answers))
    with answering(type("Scripted", (Exchange,), {"script": script}), certificate) as address:
        script.url = f"http://{address}/v1"
        yield script
