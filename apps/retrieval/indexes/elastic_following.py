"""How does an index in Elasticsearch follow a knowledge base? Generations behind an alias, and how far each has come.

Each knowledge base, kind and part (words, vectors) has an index of its own, behind the alias PREFIX-KIND-KB-PART: BM25 then
counts in that knowledge base alone, and a generation is dropped by dropping its index. What makes this safe:

- The index itself holds the document `state` (`elastic_state`). Alias, content and state of a generation thus come and go
  together; an index that somebody dropped has no state, and is built anew.
- Where there is no index, because there was never an entry, a note says so: "empty as of this revision". Most knowledge bases
  lack some kinds of entry; they cost no shard. That note stays true once there is an index: whatever came, came later.
- One process at a time changes an index (`elastic_lease`). One that was stopped and comes late overwrites nothing newer
  (`elastic_bulk`), reaches no other index than the one that it followed, and switches to none (`elastic_kept`).
- A new index is filled aside and gets the alias last, in the same step in which the index of before loses it. One that was
  left half filled is dropped by the next build, or by `sweep`: whoever drops holds the build's lease, and the index's own.
  Vectors of the generation before are kept for a rollback (`elastic_kept`).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import elasticsearch

from apps.retrieval.indexes.elastic_build import ElasticBuild
from apps.retrieval.indexes.elastic_bulk import Action, send_bulk
from apps.retrieval.indexes.elastic_connection import (
    ElasticConnection,
    close_shared_connection,
    shared_connection,
    unavailable_item,
)
from apps.retrieval.indexes.elastic_held import Held
from apps.retrieval.indexes.elastic_ids import all_ids
from apps.retrieval.indexes.elastic_kept import (
    Indexes,
    announce_switch,
    find_left_over,
    give_own_alias,
    move_alias,
    read_indexes,
    read_kept,
    withdraw_switch,
)
from apps.retrieval.indexes.elastic_lease import LEASE_S, Lease
from apps.retrieval.indexes.elastic_state import ElasticStates, overtaken, own_alias
from core.errors import SearchUnavailable
from core.types import EntryKind, Hit, IndexState, JSONDict

# One shard: the statistics of BM25 belong to a shard. Replicas come with a second node. Only `refresh` makes changes visible.
SETTINGS: JSONDict = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "-1"}
FACTS: JSONDict = {"facts": {"type": "keyword"}, "day": {"type": "long"}}

BUILD_WAIT_S, BUILD_POLL_S = 600.0, 2.0
SWEEP_WAIT_S = LEASE_S + 3.0  # long enough to see that the lease of a process that died is not renewed

Build = TypeVar("Build", bound=ElasticBuild)


class ElasticFollowing:
    """The FollowingIndex half of both indexes; what an entry looks like is the subclass's."""

    part = ""
    extra_settings: JSONDict = {}
    keeps_generation_before = False

    def __init__(self, kind: EntryKind = EntryKind.FAQ, *, connection: ElasticConnection | None = None) -> None:
        self.kind = kind
        self.connection = connection or shared_connection()
        self._uses_shared = connection is None
        self.states = ElasticStates(self.connection, SETTINGS)
        self._mutex = threading.Lock()
        self._leases: dict[int, Lease] = {}
        self._build_leases: dict[int, Lease] = {}
        self._held: dict[int, Held] = {}
        self._owned: set[str] = set()  # indexes that have an alias of their own

    # Following the database

    @contextmanager
    def exclusive(self, kb_id: int) -> Iterator[None]:
        """Held by whoever changes the index; excludes other threads and processes. What was not refreshed is dropped.

        Raises SearchUnavailable where another process keeps it for long, or Elasticsearch is away.
        """
        self.states.ensure()
        lease = self._lease(kb_id)
        with lease:
            try:
                if lease.depth == 1 and lease.was_taken_over:
                    withdraw_switch(self.connection, self.alias(kb_id))
                yield
            finally:
                if lease.depth == 1:
                    self._held.pop(kb_id, None)

    def state(self, kb_id: int) -> IndexState:
        """How far the index follows; revision 0 where there is none yet."""
        return self.states.read(self.alias(kb_id)).state

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        """Removes entries, as of a revision; unknown ids are fine; takes effect with `refresh`."""
        self._holding(kb_id).delete(ids, as_of)

    def refresh(self, kb_id: int, revision: int) -> None:
        """Sends what waits, makes it visible, then notes the revision. A failure in between leaves work to be done again."""
        held = self._holding(kb_id)
        is_first = held.needs_index
        if is_first:
            held.index = self.create(kb_id, held.note)
        waiting = held.take_waiting()
        held.state = IndexState(revision=revision, built_with=held.state.built_with)
        if held.index and waiting:
            send_bulk(self.connection, own_alias(held.index), waiting, before_each=self._lease(kb_id).check)
            self.make_visible(held)
        self._lease(kb_id).check()
        if is_first:
            self.switch_to(kb_id, held)
        else:
            self.states.write(self.alias(kb_id), held)

    def clear(self, kb_id: int, built_with: str) -> None:
        """Starts anew, empty: notes so, and drops the index behind the alias."""
        with self.exclusive(kb_id):
            self._held.pop(kb_id, None)
            self.states.write(self.alias(kb_id), Held(state=IndexState(revision=0, built_with=built_with)))
            self._drop(read_indexes(self.connection, self.alias(kb_id)).in_force)

    def sweep(self, kb_id: int, still_there: Callable[[str], bool] = lambda _: False) -> None:
        """Drops indexes that nobody will switch to; the kept one too unless its generation is `still_there`. Raises SearchUnavailable."""
        if not self._left_over(kb_id, still_there):
            return
        with suppress(SearchUnavailable), self._lease_to_build(kb_id, wait_s=SWEEP_WAIT_S):  # else a build is under way
            self._drop_left_over(kb_id, still_there)

    def ids(self, kb_id: int) -> set[int]:
        """Every visible entry's id."""
        return all_ids(self.connection, self.alias(kb_id))

    def close(self) -> None:
        """Closes the process's connection, where it is that one: all indexes are closed together."""
        if self._uses_shared:
            close_shared_connection()

    # For the subclasses

    def search_each(self, bodies: Mapping[int, JSONDict]) -> dict[int, list[Hit]]:
        """The hits of one search in each knowledge base, in one request; scores as Elasticsearch gives them."""
        if not bodies:
            return {}
        searches: list[JSONDict] = []
        for kb_id, body in bodies.items():
            searches += [{"index": self.alias(kb_id), "preference": "wenlu", "allow_partial_search_results": False}, body]
        answers = self.connection.quick(lambda client: client.msearch(searches=searches))["responses"]
        return {kb_id: self._hits(kb_id, answer) for kb_id, answer in zip(bodies, answers, strict=True)}

    def refused(self, kb_id: int, error: dict[str, object]) -> Exception:
        """What a search that failed raises."""
        return unavailable_item(error)

    def _hits(self, kb_id: int, answer: dict[str, Any]) -> list[Hit]:
        if error := answer.get("error"):
            if error["type"] == "index_not_found_exception":
                return []
            raise self.refused(kb_id, error)
        return [Hit(int(hit["_id"]), float(hit["_score"])) for hit in answer["hits"]["hits"]]

    def alias(self, kb_id: int) -> str:
        """What searches ask."""
        return f"{self.connection.prefix}-{self.kind.value}-{kb_id}-{self.part}"

    def mappings(self, note: JSONDict) -> JSONDict:
        """The fields of a new index, by what is noted of its entries."""
        raise NotImplementedError

    def after_bulk(self, held: Held) -> None:
        """Called when changes have become visible, before the revision is noted."""

    @contextmanager
    def build_aside(self, build: Build, *, no_later_than: int = 0) -> Iterator[Build]:
        """The build, under its lease; what was left over before goes, and afterwards the index that nobody searches any more.

        It begins with the kept index where that was built with the same and follows `no_later_than` this revision. Raises
        SearchUnavailable where another process builds one for long.
        """
        self.states.ensure()
        lease = self._build_lease(build.kb_id)
        with lease:
            self._drop_left_over(build.kb_id)
            kept = read_kept(self.connection, self.alias(build.kb_id))
            if kept is not None and kept.is_for(build.held.state.built_with, no_later_than):
                self._see_to_own_alias(kept.index)
                build.take_up(kept)
            try:
                yield build
            finally:
                with suppress(SearchUnavailable):  # `sweep` does it later
                    build.wait_for_searches()
                    lease.check()
                    self._drop_left_over(build.kb_id)

    def create(self, kb_id: int, note: JSONDict) -> str:
        """A new index without an alias."""
        index, mappings = f"{self.alias(kb_id)}-{uuid.uuid4().hex[:12]}", self.mappings(note)
        body: JSONDict = {"dynamic": False, **mappings}
        settings: JSONDict = {**SETTINGS, **self.extra_settings}
        aliases: dict[str, JSONDict] = {own_alias(index): {}}
        self.connection.patient(lambda client: client.indices.create(index=index, aliases=aliases, settings=settings, mappings=body))
        self._owned.add(index)
        return index

    def send_aside(self, kb_id: int, index: str, waiting: Sequence[Action]) -> None:
        """Sends documents to an index that is built, as long as its build's lease holds."""
        send_bulk(self.connection, own_alias(index), waiting, before_each=self._build_lease(kb_id).check)

    def make_visible(self, held: Held) -> None:
        """Makes what was sent visible. Raises SearchUnavailable where the index is gone."""
        try:
            self.connection.patient(lambda client: client.indices.refresh(index=held.index))
            self.after_bulk(held)
        except elasticsearch.NotFoundError as error:
            raise overtaken(held.index) from error

    def switch_to(self, kb_id: int, held: Held) -> None:
        """Notes in the index how far it has come, then moves the alias to it; without an index, notes that there is nothing.

        Vectors of another generation that lose the alias are kept; those kept so far are left over from then on. Raises
        SearchUnavailable where another process has taken over: it may have followed further in the index of before.
        """
        if not self._lease(kb_id).depth:
            raise RuntimeError("switch must be called while `exclusive` is held.")
        alias = self.alias(kb_id)
        if held.index:
            announce_switch(self.connection, alias, held.index)  # before the lease is looked at
        self._lease(kb_id).check()
        self.states.write(alias, held)
        before = read_indexes(self.connection, alias)
        if held.index:
            move_alias(self.connection, alias, held.index, before, keep=self._to_keep(kb_id, before, held))
        else:
            self._drop(before.in_force)
        self._held.pop(kb_id, None)

    def _holding(self, kb_id: int) -> Held:
        if not self._lease(kb_id).depth:
            raise RuntimeError("put, delete and refresh must be called while `exclusive` is held.")
        if kb_id not in self._held:
            held = self.states.read(self.alias(kb_id))
            self._see_to_own_alias(held.index)
            self._held[kb_id] = held
        return self._held[kb_id]

    def _see_to_own_alias(self, index: str) -> None:
        """Gives an index that an earlier version made an alias of its own."""
        if index and index not in self._owned:
            give_own_alias(self.connection, index)
            self._owned.add(index)

    # In Elasticsearch

    def _lease(self, kb_id: int) -> Lease:
        with self._mutex:
            return self._leases.setdefault(kb_id, Lease(self.connection, self.states.index, self.alias(kb_id)))

    def _build_lease(self, kb_id: int) -> Lease:
        with self._mutex:
            return self._build_leases.setdefault(kb_id, self._lease_to_build(kb_id, wait_s=BUILD_WAIT_S))

    def _lease_to_build(self, kb_id: int, *, wait_s: float) -> Lease:
        return Lease(self.connection, self.states.index, f"{self.alias(kb_id)}:build", wait_s=wait_s, poll_s=BUILD_POLL_S)

    def _to_keep(self, kb_id: int, before: Indexes, held: Held) -> list[str]:
        """The index of the generation before; where the generation stays, whichever was kept."""
        was, now = self.states.read(self.alias(kb_id)).state.built_with, held.state.built_with
        another = self.keeps_generation_before and was not in ("", now)
        return [*before.in_force[:1]] if another else [name for name in before.kept if name != held.index]

    def _left_over(self, kb_id: int, still_there: Callable[[str], bool]) -> list[str]:
        return find_left_over(self.connection, self.alias(kb_id), still_there)

    def _drop_left_over(self, kb_id: int, still_there: Callable[[str], bool] = lambda _: True) -> None:
        """The build's lease is held; the index's own keeps out whoever fills a first index, which has no alias yet."""
        if self._left_over(kb_id, still_there):
            with self.exclusive(kb_id):
                self._drop(self._left_over(kb_id, still_there))

    def _drop(self, indexes: Sequence[str]) -> None:
        if indexes:
            names = list(indexes)
            self.connection.patient(lambda client: client.indices.delete(index=names, ignore_unavailable=True))
