"""How is an index in Elasticsearch filled aside? One without an alias, in small requests, that takes the alias over at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from apps.retrieval.indexes.elastic_bulk import MAX_ACTIONS, Action
from apps.retrieval.indexes.elastic_held import Held
from core.types import IndexState

if TYPE_CHECKING:
    from apps.retrieval.indexes.elastic_following import ElasticFollowing

KEPT_S = 1.0  # how long searches that have begun may still read the index of before: they take a few ms


class ElasticBuild:
    """The IndexBuild half of both builds; what an entry looks like is the subclass's.

    At most `MAX_ACTIONS` documents and one `put` wait in memory. An index is made with the first entry: none costs no shard.
    """

    def __init__(self, owner: ElasticFollowing, kb_id: int, built_with: str) -> None:
        self.kb_id = kb_id
        self.held = Held(state=IndexState(revision=0, built_with=built_with))
        self._owner = owner
        self._switched_at: float | None = None

    @property
    def revision(self) -> int:
        """How far it follows the database."""
        return self.held.state.revision

    def take_up(self, held: Held) -> None:
        """Goes on with an index that was kept, from the revision that it has reached; it stays kept until the switch."""
        self.held = held

    def add(self, actions: Iterable[Action]) -> None:
        """Notes what is to be put, and sends it where much waits."""
        self.held.add(actions)
        self._send_where_many()

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        """Removes entries, as of a revision; unknown ids are fine."""
        self.held.delete(ids, as_of)
        self._send_where_many()

    def refresh(self, kb_id: int, revision: int) -> None:
        """Sends what waits, makes it visible to whoever comes after the switch, and notes the revision."""
        self._send()
        if self.held.index:
            self._owner.make_visible(self.held)
        self.held.state = IndexState(revision=revision, built_with=self.held.state.built_with)

    def settle(self) -> None:
        """Nothing is left to do: Elasticsearch merges while it is searched."""

    def switch(self) -> None:
        """Moves the alias, in one step of the cluster."""
        self._owner.switch_to(self.kb_id, self.held)
        self._switched_at = time.monotonic()

    def wait_for_searches(self) -> None:
        """Returns when the searches that were under way at the switch are over."""
        if self._switched_at is not None:
            time.sleep(max(0.0, self._switched_at + KEPT_S - time.monotonic()))

    def _send_where_many(self) -> None:
        if len(self.held.waiting) >= MAX_ACTIONS:
            self._send()

    def _send(self) -> None:
        if self.held.needs_index:
            self.held.index = self._owner.create(self.kb_id, self.held.note)
        waiting = self.held.take_waiting()
        if self.held.index and waiting:
            self._owner.send_aside(self.kb_id, self.held.index, waiting)
