"""Where a turn's events are kept while people may still ask for them, where one process runs everything: in its memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.config import get_settings
from core.errors import DeadlineExceeded, NotFound
from core.events import ENDS
from core.types import JSONDict

MAX_TURNS = 20_000


def unknown_turn(turn: str) -> NotFound:
    return NotFound("No such turn, or its events are no longer kept.", turn=turn[:64])


@dataclass(slots=True)
class _Record:
    frames: list[JSONDict] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    cancel: threading.Event = field(default_factory=threading.Event)
    touched: float = field(default_factory=time.monotonic)

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return bool(self.frames) and self.frames[-1]["type"] in ENDS


class MemoryTurnLog:
    """Keeps the events of this process's turns, the oldest forgotten first."""

    def __init__(self, keep_s: float | None = None, max_turns: int = MAX_TURNS) -> None:
        self._keep_s = get_settings().turn_log_keep_s if keep_s is None else keep_s
        self._max_turns = max_turns
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = threading.Lock()

    def append(self, turn: str, frame: JSONDict) -> int:
        """Stores the frame under the next number, which it also writes into `frame["seq"]`."""
        record = self._open(turn)
        with record.changed:
            seq = len(record.frames) + 1
            frame["seq"] = seq
            record.frames.append(frame)
            record.touched = time.monotonic()
            record.changed.notify_all()
        return seq

    def read(self, turn: str, after: int, timeout_s: float = 30.0) -> Iterator[JSONDict]:
        """Frames beyond `after`, waiting for new ones, to the turn's end."""
        record = self._records.get(turn)
        if record is None:
            raise unknown_turn(turn)
        return self._follow(record, max(0, after), timeout_s)

    def cancel(self, turn: str) -> None:
        """Sets the flag that the running turn watches."""
        record = self._records.get(turn)
        if record is None:
            raise unknown_turn(turn)
        record.cancel.set()

    def watch_cancel(self, turn: str) -> threading.Event:
        """The turn's stop flag."""
        return self._open(turn).cancel

    def _follow(self, record: _Record, after: int, timeout_s: float) -> Iterator[JSONDict]:
        while True:
            with record.changed:
                if not record.changed.wait_for(lambda: len(record.frames) > after or record.ended, timeout_s):  # noqa: B023 - called at once
                    raise DeadlineExceeded(f"The turn said nothing for {timeout_s:g} s.")
                ready, ended = record.frames[after:], record.ended
            yield from ready
            after += len(ready)
            if ended:
                return

    def _open(self, turn: str) -> _Record:
        with self._lock:
            record = self._records.get(turn)
            if record is None:
                self._forget_old()
                record = self._records[turn] = _Record()
            return record

    def _forget_old(self) -> None:
        limit = time.monotonic() - self._keep_s
        while self._records:
            oldest = next(iter(self._records.values()))
            if len(self._records) < self._max_turns and oldest.touched > limit:
                return
            self._records.popitem(last=False)
