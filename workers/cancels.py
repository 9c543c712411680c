"""Which requests nobody waits for any more: web processes say so on one channel, and every worker listens."""

from __future__ import annotations

import threading
from collections import OrderedDict

import orjson

from workers.dispatch import CANCELS
from workers.replies import ChannelReader

REMEMBERED = 10_000


class Cancels:
    """The flags of the calls in this worker. A call that was cancelled before the worker took it has its flag set at once."""

    def __init__(self, url: str) -> None:
        self._flags: dict[str, threading.Event] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._reader = ChannelReader(url, CANCELS, on_message=self._receive)

    def watch(self, call_id: str) -> threading.Event:
        """The call's flag; `forget` it when the call is answered."""
        with self._lock:
            flag = self._flags.setdefault(call_id, threading.Event())
            if call_id in self._gone:
                flag.set()
        return flag

    def forget(self, call_id: str) -> None:
        """The call was answered."""
        with self._lock:
            self._flags.pop(call_id, None)

    def close(self) -> None:
        """Ends the listener."""
        self._reader.close()

    def _receive(self, payload: bytes) -> None:
        with self._lock:
            for call_id in orjson.loads(payload):
                self._gone[call_id] = None
                if call_id in self._flags:
                    self._flags[call_id].set()
            while len(self._gone) > REMEMBERED:
                self._gone.popitem(last=False)
