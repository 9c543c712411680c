"""When is a model loaded? On its first use, once, by whoever comes first; after it was closed, never again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from core.errors import ModelUnavailable

Loaded = TypeVar("Loaded")


class LoadedOnce(Generic[Loaded]):
    """What `load` returns, loaded on first use and shared by every thread; `free` lets go of it. `role` names it in errors."""

    def __init__(self, role: str, load: Callable[[], Loaded], free: Callable[[Loaded], None]) -> None:
        self._role = role
        self._load = load
        self._free = free
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._closed = False

    @property
    def loaded(self) -> Loaded | None:
        """What is there now; None before its first use and after `close`."""
        return self._loaded

    def get(self) -> Loaded:
        """What was loaded, waiting for it. Raises ModelUnavailable after `close`, and as `load` does: the next call tries again."""
        if (loaded := self._loaded) is not None:
            return loaded
        with self._lock:
            if self._closed:
                raise ModelUnavailable(f"The {self._role} of this process was shut down.")
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def close(self) -> None:
        """Frees it; whoever waits for it gets ModelUnavailable. Can be called twice."""
        with self._lock:
            self._closed = True
            loaded, self._loaded = self._loaded, None
        if loaded is not None:
            self._free(loaded)
