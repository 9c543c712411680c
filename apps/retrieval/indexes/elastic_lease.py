"""Which of several processes may change an index in Elasticsearch? The one whose lease document is there and still renewed.

Clocks of different machines are not compared: whoever waits watches the document's sequence number, and takes over one that
nobody has renewed for `LEASE_S` by the watcher's own clock. Taking and renewing are compare-and-set (`if_seq_no`).
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import uuid

import elasticsearch

from apps.retrieval.indexes.elastic_connection import ElasticConnection
from core.errors import SearchUnavailable

LEASE_S = 5.0
RENEW_S = 1.5
WAIT_S = 20.0
POLL_S = 0.1

Version = tuple[int, int]


class Lease:
    """Excludes other threads of this process and other processes; re-entrant in one thread.

    Taking it raises SearchUnavailable where another process works for longer than `wait_s`, or Elasticsearch is away. The
    lease of a process that died is free after `lease_s`.
    """

    def __init__(
        self,
        connection: ElasticConnection,
        index: str,
        name: str,
        *,
        lease_s: float = LEASE_S,
        wait_s: float = WAIT_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._connection, self._index, self._name = connection, index, name
        self._lease_s, self._wait_s, self._poll_s = lease_s, wait_s, poll_s
        self._threads = threading.RLock()
        self.depth = 0
        self.was_taken_over = False  # from a holder that had not renewed it: it may be dead, or go on later
        self._renewing = threading.Lock()
        self._version: Version | None = None
        self._renewed_at = 0.0
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Lease:
        self._threads.acquire()
        try:
            if self.depth == 0:
                self._acquire()
            self.depth += 1
        except BaseException:
            self._threads.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self._release()
        self._threads.release()

    def check(self) -> None:
        """Raises SearchUnavailable where the lease was lost, or cannot be renewed: this process was stopped, or cut off, for too long."""
        if time.monotonic() - self._renewed_at > self._lease_s:
            self._renew()
        if self._version is None or time.monotonic() - self._renewed_at > self._lease_s:
            raise SearchUnavailable("Another process may have taken over the index meanwhile; what was not refreshed is done again.")

    def _acquire(self) -> None:
        end, watched, since = time.monotonic() + self._wait_s, None, 0.0
        while True:
            asked_at = time.monotonic()
            expired = watched if watched and asked_at - since >= self._lease_s else None
            version = self._write(expired)
            if version is not None:
                self.was_taken_over = expired is not None
                self._hold(version, asked_at)
                return
            seen = self._read()
            if seen != watched:
                watched, since = seen, asked_at
            if asked_at > end:
                raise SearchUnavailable(f"Another process has been filling the index {self._name} for {self._wait_s:.0f} s.")
            time.sleep(random.uniform(0.2, 1.0) * self._poll_s)

    def _write(self, instead_of: Version | None) -> Version | None:
        """The new document's version; None where another one is there. It replaces the one of version `instead_of`."""
        condition = {"op_type": "create"} if instead_of is None else {"if_seq_no": instead_of[0], "if_primary_term": instead_of[1]}
        document = {"holder": uuid.uuid4().hex}
        try:
            done = self._connection.quick(
                lambda client: client.index(index=self._index, id=f"lease:{self._name}", document=document, **condition)
            )
        except elasticsearch.ConflictError:
            return None
        return int(done["_seq_no"]), int(done["_primary_term"])

    def _read(self) -> Version | None:
        try:
            found = self._connection.quick(lambda client: client.get(index=self._index, id=f"lease:{self._name}", source=False))
        except elasticsearch.NotFoundError:
            return None
        return int(found["_seq_no"]), int(found["_primary_term"])

    def _hold(self, version: Version, asked_at: float) -> None:
        with self._renewing:
            self._version, self._renewed_at = version, asked_at
            self._beat()

    def _beat(self) -> None:
        self._timer = threading.Timer(RENEW_S * self._lease_s / LEASE_S, self._renew)
        self._timer.daemon = True
        self._timer.start()

    def _renew(self) -> None:
        with self._renewing:
            if self._version is None:
                return
            asked_at = time.monotonic()
            try:
                self._version = self._write(self._version)
                self._renewed_at = asked_at
            except SearchUnavailable:
                pass  # tried again until the lease is over by this clock
            if self._version is not None and self._timer is threading.current_thread():
                self._beat()

    def _release(self) -> None:
        with self._renewing:
            version, self._version = self._version, None
            if self._timer is not None:
                self._timer.cancel()
        if version is None:
            return
        with contextlib.suppress(SearchUnavailable, elasticsearch.ConflictError, elasticsearch.NotFoundError):
            self._connection.quick(
                lambda client: client.delete(index=self._index, id=f"lease:{self._name}", if_seq_no=version[0], if_primary_term=version[1])
            )
