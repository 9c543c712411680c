"""How do turns end whose process is gone? As failed, by whoever notices: a reader who waits for more, or the next look through the table."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from django.db import Error, close_old_connections
from django.utils import timezone

from apps.dialogue.models import Turn
from core.config import get_settings
from core.errors import Interrupted
from core.metrics import TURNS

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
GRACE_S = 10.0  # a turn that is late ends itself, with its next event


def interrupt_turn(turn: Turn) -> Turn:
    """The turn as it is stored now, failed where it had no end yet."""
    _interrupt(turn.pk)
    turn.refresh_from_db()
    return turn


def interrupt_late_turns() -> int:
    """Ends every stored turn that runs beyond its deadline; how many."""
    limit = timezone.now() - timedelta(seconds=get_settings().turn_deadline_s + GRACE_S)
    late = Turn.objects.filter(state=Turn.State.RUNNING, created_at__lt=limit).values_list("pk", flat=True)
    return sum(_interrupt(pk) for pk in list(late[:1000]))


def _interrupt(pk: str) -> bool:
    error = Interrupted("The server that was answering has ended; please ask again.").as_dict()
    is_changed = bool(Turn.objects.filter(pk=pk, state=Turn.State.RUNNING).update(state=Turn.State.FAILED, error=error))
    if is_changed:
        TURNS.labels(skill="none", end="failed").inc()
        log.warning("turn interrupted turn=%s", pk)
    return is_changed


class InterruptedTurns:
    """Looks every `LOOK_EVERY_S` while the server runs, and once at its start."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="interrupted-turns", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Looks no more."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            try:
                interrupt_late_turns()
            except Error as error:
                log.warning("turns not looked through error=%r", error)
            finally:
                close_old_connections()
            if self._stop.wait(LOOK_EVERY_S):
                return
