"""How is an index in Elasticsearch filled aside? One without an alias, in small requests, that takes the alias over at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.retrieval.indexes.elastic_bulk import MAX_ACTIONS
from core.types import IndexState, JSONDict

if TYPE_CHECKING:
    from apps.retrieval.indexes.elastic_following import ElasticFollowing

KEPT_S = 1.0  # how long searches that have begun may still read the index of before: they take a few ms


@dataclass(kw_only=True, slots=True)
class Held:
    """What whoever holds an index knows of it, and what waits for the next refresh; a document of None deletes."""

    exists: bool = False
    state: IndexState = IndexState(revision=0, built_with="")
    note: JSONDict = field(default_factory=dict)
    waiting: dict[int, bytes | None] = field(default_factory=dict)


class ElasticBuild:
    """The IndexBuild half of both builds; what an entry looks like is the subclass's.

    At most `MAX_ACTIONS` documents and one `put` wait in memory. An index is made with the first entry: none costs no shard.
    """

    def __init__(self, owner: ElasticFollowing, kb_id: int, built_with: str) -> None:
        self.kb_id = kb_id
        self.held = Held(state=IndexState(revision=0, built_with=built_with))
        self._owner = owner
        self._index = ""
        self._switched_at: float | None = None

    @property
    def revision(self) -> int:
        """How far it follows the database."""
        return self.held.state.revision

    def take_up(self, index: str, held: Held) -> None:
        """Goes on with an index that was kept, from the revision that it has reached; it stays kept until the switch."""
        self._index, self.held = index, held

    def add(self, documents: Mapping[int, bytes | None]) -> None:
        """Notes documents by id, and sends them where many wait."""
        self.held.waiting.update(documents)
        if len(self.held.waiting) >= MAX_ACTIONS:
            self._send()

    def delete(self, kb_id: int, ids: Sequence[int]) -> None:
        """Removes entries; unknown ids are fine."""
        self.add(dict.fromkeys(map(int, ids)))

    def refresh(self, kb_id: int, revision: int) -> None:
        """Sends what waits, makes it visible to whoever comes after the switch, and notes the revision."""
        self._send()
        if self._index:
            self._owner.make_visible(self._index, self.held)
        self.held.state = IndexState(revision=revision, built_with=self.held.state.built_with)

    def settle(self) -> None:
        """Nothing is left to do: Elasticsearch merges while it is searched."""

    def switch(self) -> None:
        """Moves the alias, in one step of the cluster."""
        self._owner.switch_to(self.kb_id, self._index, self.held)
        self._switched_at = time.monotonic()

    def wait_for_searches(self) -> None:
        """Returns when the searches that were under way at the switch are over."""
        if self._switched_at is not None:
            time.sleep(max(0.0, self._switched_at + KEPT_S - time.monotonic()))

    def _send(self) -> None:
        waiting, self.held.waiting = self.held.waiting, {}
        if not self._index and any(waiting.values()):
            self._index = self._owner.create(self.kb_id, self.held.note)
        if self._index and waiting:
            self._owner.send_aside(self.kb_id, self._index, waiting)
