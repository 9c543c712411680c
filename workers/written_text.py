"""What is a text that is being written? One, from its prompt to its end: how far it is, who waits for it, and how it ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from core.errors import DeadlineExceeded
from core.metrics import BATCH_DROPPED
from core.protocols import Chunk, Usage
from core.types import FinishReason, Priority
from workers.chunks import TextStream
from workers.incremental_text import Detokenizer, StopFilter
from workers.llama import Piece
from workers.sampling import Sampler

NAME = "generator"


@dataclass(eq=False, slots=True, kw_only=True)
class WrittenText:
    """One text from its prompt to its end. `computed` tokens of `ids` are in row `row` of the cache; it may grow to `longest`."""

    ids: list[int]
    prompt_tokens: int
    longest: int
    sampler: Sampler
    detokenizer: Detokenizer
    stops: StopFilter
    cancel: threading.Event
    began: float
    deadline: float
    priority: Priority
    stream: TextStream = field(default_factory=TextStream)
    row: int = -1
    computed: int = 0

    @property
    def usage(self) -> Usage:
        """What was read and written so far."""
        return Usage(prompt_tokens=self.prompt_tokens, completion_tokens=len(self.ids) - self.prompt_tokens)

    def reason_to_end(self, now: float) -> FinishReason | None:
        """Why nobody waits for it any more; None where somebody does."""
        if self.cancel.is_set() or self.stream.abandoned:
            return FinishReason.CANCELLED
        return FinishReason.DEADLINE if now >= self.deadline else None

    def last_chunk(self, reason: FinishReason) -> Chunk:
        """What still waits to be shown, and the end."""
        return Chunk(text=self.stops.push(self.detokenizer.flush()) + self.stops.flush(), finish_reason=reason, usage=self.usage)

    def piece(self, most: int) -> Piece:
        """What is computed next, at most so many tokens."""
        return Piece(self.row, self.computed, self.ids[self.computed : self.computed + most])

    def turn_away(self, reason: FinishReason) -> None:
        """Tells the reader of a text that never began."""
        BATCH_DROPPED.labels(NAME, reason.value).inc()
        if reason is FinishReason.DEADLINE:
            self.stream.put(DeadlineExceeded("The generator was too busy to begin this within its deadline."))
        else:
            self.stream.put(self.last_chunk(reason))
