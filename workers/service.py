"""What is a service of an inference worker? What serves one role: it takes calls and gives replies, without waiting in between."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from core.types import JSONDict, Priority
from workers.pending import Pending


class LocalModel(Protocol):
    """A model of this process, as its worker tells of it."""

    @property
    def model_id(self) -> str: ...

    @property
    def device(self) -> str: ...


class Service(Protocol):
    """One role's model in this process; `role` also names its batcher in the metrics."""

    role: str

    @property
    def model(self) -> LocalModel: ...

    def load(self) -> None:
        """Loads the model, so that the first call is as fast as the others."""
        ...

    def begin(self, body: Mapping[str, Any], *, priority: Priority, deadline: float, cancel: threading.Event) -> Pending[JSONDict]:
        """What waits for the reply. Raises InvalidRequest, and as the model's batcher does."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...
