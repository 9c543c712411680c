"""Do this process's indexes still hold what the database says? Asked now and then in the background, and mended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache

from django.db import DatabaseError, close_old_connections

from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import IndexFollower, follower
from apps.retrieval.outbox.verification import find_index_drift, repair, sweep
from core.config import get_settings
from core.errors import QAError

log = logging.getLogger(__name__)


class IndexChecker:
    """Compares what `keeping` follows of every knowledge base that was searched here with the database, every `QA_INDEX_CHECK_MINUTES`.

    What an index lacks or has too much of is mended at once, entry by entry; content and vectors are left to
    `manage.py verify_index`. What builds have left that were killed is removed.
    """

    def __init__(self, keeping: Callable[[], IndexFollower] = follower) -> None:
        self._keeping = keeping
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Starts the background thread, once; none where the setting is 0."""
        if self._thread is None and get_settings().index_check_minutes:
            self._thread = threading.Thread(target=self._watch, name="index-check", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the background thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def check_all(self) -> None:
        """One round. What cannot be compared now is left to the next one."""
        try:
            for kb in KnowledgeBase.objects.filter(pk__in=self._keeping().followed_kbs()):
                if self._stopped.is_set():
                    return
                self._check(kb)
        except DatabaseError:
            log.exception("indexes not checked")

    def _check(self, kb: KnowledgeBase) -> None:
        try:
            drifts = [drift for drift in find_index_drift(kb, self._keeping()) if drift.count]
            for drift in drifts:
                log.warning(
                    "index drift mended kb=%s kind=%s index=%s missing=%d stray=%d",
                    kb.slug, drift.kind, drift.place, len(drift.missing), len(drift.stray),
                )  # fmt: skip
            if drifts:
                repair(kb, drifts, self._keeping())
            sweep(kb, self._keeping())
        except KnowledgeBase.DoesNotExist:
            log.info("index not checked kb=%s: it was deleted meanwhile", kb.slug)
        except QAError as error:
            log.warning("index not checked kb=%s error=%s %s", kb.slug, error.code, error.message)

    def _watch(self) -> None:
        while not self._stopped.wait(60.0 * get_settings().index_check_minutes):
            try:
                self.check_all()
            except Exception:  # the loop must outlive a disk that is full or away; the next round tries again
                log.exception("indexes not checked")
            finally:
                close_old_connections()


@cache
def checker() -> IndexChecker:
    """The process-wide checker."""
    return IndexChecker()
