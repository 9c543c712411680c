"""Is the generator of this process loaded? It is warmed in the background when the server starts, so that no answer waits for weights."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from enum import StrEnum

from apps.serving.generators import own_generator, own_place
from core.config import get_settings, is_remote
from core.errors import ModelUnavailable, QAError
from core.protocols import GenerationRequest

log = logging.getLogger(__name__)

LOAD_S = 600.0


class Warmth(StrEnum):
    """How far the generator of this process is."""

    NONE = "none"  # nobody asks one of this process
    COLD = "cold"  # loaded by the first text
    LOADING = "loading"
    OK = "ok"


class Warmup:
    """Lets the generator write one token in a thread of its own. Where that fails, the next text tries again by itself."""

    def __init__(self) -> None:
        self._state = Warmth.COLD
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> Warmth:
        """How far it is now."""
        return self._state

    def start(self) -> None:
        """Begins, where this process has a generator of its own; returns at once."""
        if not runs_here():
            self._state = Warmth.NONE
            return
        self._state = Warmth.LOADING
        self._thread = threading.Thread(target=self._run, name="warm-generator", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Returns when it is done, or after `timeout_s`."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        began = time.monotonic()
        request = GenerationRequest(messages=(("user", "Hello"),), max_tokens=1, deadline_s=LOAD_S)
        try:
            deque(own_generator().stream(request, threading.Event()), maxlen=0)
        except QAError as error:
            log.warning("generator not loaded error=%s %s", error.code, error.message)
            self._state = Warmth.COLD
            return
        self._state = Warmth.OK
        log.info("generator loaded seconds=%.1f", time.monotonic() - began)


def runs_here() -> bool:
    """Whether texts may be written by a model of this very process."""
    return not is_remote(get_settings().generator_backend) and own_place() is not None


_warmup = Warmup()


def generator_warmup() -> Warmup:
    """The process's."""
    return _warmup


def require_loaded_generator() -> None:
    """Raises ModelUnavailable while the weights of the generator that is asked first are being loaded: who can answer without should."""
    if _warmup.state is Warmth.LOADING and own_place() == 0:
        raise ModelUnavailable("The generator is being loaded.", retry_after_s=5)
