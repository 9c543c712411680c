"""What is a result under way? What gives it, and the futures on which that waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Result = TypeVar("Result", covariant=True)
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Pending(Generic[Result]):
    """`make` gives the result, and waits for nothing more once all `futures` are done; raises what went wrong."""

    make: Callable[[], Result]
    futures: Sequence[Future[Any]] = ()

    def is_ready(self) -> bool:
        """Whether `make` can be called without waiting, as far as is known."""
        return all(future.done() for future in self.futures)

    def then(self, change: Callable[[Result], Other]) -> Pending[Other]:
        """The same work, whose result goes through `change`."""
        return Pending(lambda: change(self.make()), self.futures)
