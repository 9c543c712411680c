"""What does whoever writes to an index in Elasticsearch know of it, and what waits to be written?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from apps.retrieval.indexes.elastic_bulk import GONE, Action
from core.types import IndexState, JSONDict


@dataclass(kw_only=True, slots=True)
class Held:
    """What whoever holds an index knows of it, and by id what waits for the next refresh.

    `index` is its name, empty where there is none; `state_version` that of its state document, None where there is none yet.
    """

    index: str = ""
    state: IndexState = IndexState(revision=0, built_with="")
    state_version: tuple[int, int] | None = None
    note: JSONDict = field(default_factory=dict)
    waiting: dict[int, Action] = field(default_factory=dict)

    def is_for(self, built_with: str, no_later_than: int) -> bool:
        """Whether a build may go on with it: not where it is ahead of the database, which was then put back to an older copy."""
        return self.state.built_with == built_with and 0 < self.state.revision <= no_later_than

    @property
    def needs_index(self) -> bool:
        """Whether something waits that is not there yet: to delete what never was needs none."""
        return not self.index and any(action.document != GONE for action in self.waiting.values())

    def add(self, actions: Iterable[Action]) -> None:
        """Has them wait, instead of what waited under the same ids."""
        self.waiting.update((action.id, action) for action in actions)

    def delete(self, ids: Sequence[int], as_of: int) -> None:
        """Has these ids wait to be deleted."""
        self.add(Action(int(id), GONE, as_of) for id in ids)

    def take_waiting(self) -> list[Action]:
        """What waits, which waits no longer."""
        taken, self.waiting = [*self.waiting.values()], {}
        return taken
