"""Which requests nobody waits for any more: web processes say so on one channel, and every worker listens."""

from __future__ import annotations

import threading
from collections import OrderedDict

import orjson

from workers.dispatch import CANCELS
from workers.replies import ChannelReader

REMEMBERED = 10_000


class CancelFlag(threading.Event):
    """Set once nobody waits any more; `said_at`, in seconds of the epoch, is when that was said."""

    said_at: float | None = None

    def say(self, at: float) -> None:
        """Sets the flag; the first time counts."""
        if self.said_at is None:
            self.said_at = at
        self.set()


class Cancels:
    """The flags of the calls in this worker. A call that was cancelled before the worker took it has its flag set at once."""

    def __init__(self, url: str) -> None:
        self._flags: dict[str, CancelFlag] = {}
        self._gone: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        self._reader = ChannelReader(url, CANCELS, on_message=self._receive)

    def watch(self, call_id: str) -> CancelFlag:
        """The call's flag; `forget` it when the call is answered."""
        with self._lock:
            flag = self._flags.setdefault(call_id, CancelFlag())
            if (said_at := self._gone.get(call_id)) is not None:
                flag.say(said_at)
        return flag

    def forget(self, call_id: str) -> None:
        """The call was answered."""
        with self._lock:
            self._flags.pop(call_id, None)

    def close(self) -> None:
        """Ends the listener."""
        self._reader.close()

    def _receive(self, payload: bytes) -> None:
        message = orjson.loads(payload)
        with self._lock:
            for call_id in message["ids"]:
                self._gone[call_id] = message["at"]
                if call_id in self._flags:
                    self._flags[call_id].say(message["at"])
            while len(self._gone) > REMEMBERED:
                self._gone.popitem(last=False)
