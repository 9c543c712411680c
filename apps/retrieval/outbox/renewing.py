"""Which indexes answer by something older than they should? They are built anew in the background, one after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import close_old_connections

from apps.retrieval.indexes.registry import IndexPart
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.building_aside import BuildAbandoned, Stopped, renew_vectors, renew_words
from core.errors import QAError
from core.types import EntryKind

log = logging.getLogger(__name__)

WAKE_S = 0.5
REST_S = 10.0

Due = tuple[int, EntryKind, IndexPart, str]


class IndexRenewal:
    """Builds anew what is noted, in a thread of its own where one was started; `done` is told of each."""

    def __init__(self, done: Callable[[Due], None]) -> None:
        self._done = done
        self._due: dict[Due, None] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread was started."""
        return self._thread is not None

    def start(self) -> None:
        """Starts the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._renew_all, name="renew-indexes", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread; a build that is under way is given up."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def note(self, kb_id: int, kind: EntryKind, part: IndexPart, encoder: str = "") -> None:
        """Has an index built anew soon, vectors with those of an `encoder`; what was noted already is not noted again."""
        self._due.setdefault((kb_id, kind, part, encoder))

    def _renew_all(self) -> None:
        while not self._stopped.wait(WAKE_S):
            for due in list(self._due):
                if not self._stopped.is_set():
                    self._renew(due)

    def _renew(self, due: Due) -> None:
        self._due.pop(due)  # before it begins: what is noted meanwhile is for the next time
        try:
            renew(*due, stopped=self._stopped.is_set)
            self._done(due)
        except BuildAbandoned:
            self.note(*due)
        except QAError as error:
            log.warning("index not built anew kb=%s kind=%s index=%s encoder=%s error=%s %s", *due, error.code, error.message)
            self._try_later(due)
        except Exception:  # the loop must outlive a database that is away; the index of before answers meanwhile
            log.exception("index not built anew kb=%s kind=%s index=%s encoder=%s", *due)
            self._try_later(due)
        finally:
            close_old_connections()

    def _try_later(self, due: Due) -> None:
        self.note(*due)
        self._stopped.wait(REST_S)


def renew(kb_id: int, kind: EntryKind, part: IndexPart, encoder: str = "", stopped: Stopped = lambda: False) -> None:
    """Builds an index anew that is not built with what it should be. Raises SearchUnavailable, BuildAbandoned."""
    kb = KnowledgeBase.objects.filter(pk=kb_id).first()
    if kb is None:
        return
    if part is IndexPart.WORDS:
        renew_words(kb, kind, stopped)
    else:
        renew_vectors(kb, kind, encoder, stopped)
