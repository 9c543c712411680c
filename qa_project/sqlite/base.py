"""Django's SQLite backend with a queue for writers: threads of one process take turns instead of sleeping for the file's lock.

SQLite lets one connection write at a time; whoever finds the file locked sleeps 1, 2, 5 … 100 ms and tries again. With 32
people asking at once that sleeping was most of an answer's time. A lock of this process hands over at once; other processes
are still kept apart by SQLite itself.
"""

from __future__ import annotations

import threading

from django.db import OperationalError
from django.db.backends.sqlite3 import base

_writers = threading.Lock()


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose transactions (all of them may write: see transaction_mode) wait for each other in memory."""

    _writes = False

    def _start_transaction_under_autocommit(self) -> None:
        timeout_s = float(self.settings_dict["OPTIONS"].get("timeout", 5))
        if not _writers.acquire(timeout=timeout_s):
            raise OperationalError(f"database is locked: another thread has been writing for {timeout_s:g} s")
        self._writes = True
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._let_others_write()
            raise

    def _commit(self) -> None:
        super()._commit()
        self._let_others_write()

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            self._let_others_write()

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            self._let_others_write()

    def _let_others_write(self) -> None:
        if self._writes:
            self._writes = False
            _writers.release()
