"""A generator for tests: it plays a script, word by word, and knows when it was cancelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event

from core.errors import QAError
from core.protocols import Chunk, GenerationRequest, Usage
from core.types import FinishReason

Step = str | QAError | Event


class ScriptedGenerator:
    """Says each text of the script, raises each error, waits for each event or the cancel. Keeps what it was asked."""

    def __init__(self, *script: Step, finish_reason: FinishReason = FinishReason.STOP, counts: bool = True) -> None:
        self.script: Sequence[Step] = script
        self.finish_reason = finish_reason
        self.counts = counts
        self.requests: list[GenerationRequest] = []
        self.cancelled = Event()

    @property
    def model_id(self) -> str:
        """A name."""
        return "scripted@1"

    def stream(self, request: GenerationRequest, cancel: Event) -> Iterator[Chunk]:
        """The script; each text is one token."""
        self.requests.append(request)
        said = 0
        for step in self.script:
            if isinstance(step, QAError):
                raise step
            if isinstance(step, Event):
                _wait_for_either(step, cancel)
            if cancel.is_set():
                self.cancelled.set()
                yield self._end(FinishReason.CANCELLED, request, said)
                return
            if isinstance(step, str):
                said += 1
                yield Chunk(text=step)
        yield self._end(self.finish_reason, request, said)

    def _end(self, reason: FinishReason, request: GenerationRequest, said: int) -> Chunk:
        usage = Usage(prompt_tokens=len(request.messages), completion_tokens=said) if self.counts else None
        return Chunk(text="", finish_reason=reason, usage=usage)


class JudgingGenerator(ScriptedGenerator):
    """One that is also asked whether a source means what a sentence says: `verdict` is what it says then, or raises."""

    def __init__(self, *script: Step, verdict: str | QAError) -> None:
        super().__init__(*script)
        self.verdict = verdict
        self.judged: list[str] = []

    def stream(self, request: GenerationRequest, cancel: Event) -> Iterator[Chunk]:
        """The script, or the verdict."""
        asked = request.messages[-1][1]
        if "Statement:" not in asked:
            yield from super().stream(request, cancel)
            return
        self.judged.append(asked)
        if isinstance(self.verdict, QAError):
            raise self.verdict
        yield Chunk(text=self.verdict)
        yield self._end(FinishReason.STOP, request, 1)


def _wait_for_either(go: Event, cancel: Event, limit_s: float = 10.0) -> None:
    """Returns when either is set."""
    for _ in range(int(limit_s / 0.01)):
        if go.wait(0.01) or cancel.is_set():
            return
    raise AssertionError("nobody let the script go on, and nobody cancelled it")
