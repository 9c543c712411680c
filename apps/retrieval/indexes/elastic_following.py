"""How does an index in Elasticsearch follow a knowledge base? Generations behind an alias, and how far each has come.

Each knowledge base, kind and part (words, vectors) has an index of its own, behind the alias PREFIX-KIND-KB-PART: BM25 then
counts in that knowledge base alone, and a generation is dropped by dropping its index. What makes this safe:

- The index itself holds the document `state` (revision, what it was built with), written after the refresh that made the
  revision visible. Alias, content and state of a generation thus come and go together; an index that somebody dropped has
  no state, and is built anew.
- Where there is no index, because there was never an entry, PREFIX-state says so: "empty as of this revision". Most knowledge
  bases lack some kinds of entry; they cost no shard. That note stays true once there is an index: whatever came, came later.
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

from apps.retrieval.indexes.elastic_build import ElasticBuild, Held
from apps.retrieval.indexes.elastic_bulk import actions_of, send_bulk
from apps.retrieval.indexes.elastic_connection import (
    EXISTS,
    ElasticConnection,
    close_shared_connection,
    shared_connection,
    unavailable_item,
)
from apps.retrieval.indexes.elastic_ids import all_ids
from apps.retrieval.indexes.elastic_kept import NO_INDEXES, STATE, Indexes, find_left_over, held_of, move_alias, read_indexes, read_kept
from apps.retrieval.indexes.elastic_lease import LEASE_S, Lease
from core.errors import SearchUnavailable
from core.types import EntryKind, Hit, IndexState, JSONDict

# One shard: the statistics of BM25 belong to a shard. Replicas come with a second node. Only `refresh` makes changes visible.
SETTINGS: JSONDict = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "-1"}
FACTS: JSONDict = {"facts": {"type": "keyword"}, "day": {"type": "long"}}
STATE_FIELDS: JSONDict = {
    "id": {"type": "long"},
    "revision": {"type": "long", "index": False},
    "built_with": {"type": "keyword", "index": False},
}

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
        self._state_index = f"{self.connection.prefix}-{STATE}"
        self._has_state_index = False
        self._mutex = threading.Lock()
        self._leases: dict[int, Lease] = {}
        self._build_leases: dict[int, Lease] = {}
        self._held: dict[int, Held] = {}

    # Following the database

    @contextmanager
    def exclusive(self, kb_id: int) -> Iterator[None]:
        """Held by whoever changes the index; excludes other threads and processes. What was not refreshed is dropped.

        Raises SearchUnavailable where another process keeps it for long, or Elasticsearch is away.
        """
        self._ensure_state_index()
        lease = self._lease(kb_id)
        with lease:
            try:
                yield
            finally:
                if lease.depth == 1:
                    self._held.pop(kb_id, None)

    def state(self, kb_id: int) -> IndexState:
        """How far the index follows; revision 0 where there is none yet."""
        return self._read(kb_id).state

    def delete(self, kb_id: int, ids: Sequence[int]) -> None:
        """Removes entries; unknown ids are fine; takes effect with `refresh`."""
        self._holding(kb_id).waiting.update(dict.fromkeys(map(int, ids)))

    def refresh(self, kb_id: int, revision: int) -> None:
        """Sends what waits, makes it visible, then notes the revision. A failure in between leaves work to be done again."""
        held = self._holding(kb_id)
        state = IndexState(revision=revision, built_with=held.state.built_with)
        aside = "" if held.exists or not any(held.waiting.values()) else self.create(kb_id, held.note)
        index = self.alias(kb_id) if held.exists else aside
        try:
            if index and held.waiting:
                self._send(kb_id, index, held)
            self._lease(kb_id).check()
            self._write_state(kb_id, index, state, held.note)
        except elasticsearch.NotFoundError as error:
            raise SearchUnavailable(f"The index {index} was dropped while it was filled; it is built anew.") from error
        if aside:
            move_alias(self.connection, self.alias(kb_id), aside, NO_INDEXES, keep=())
        held.exists, held.state, held.waiting = bool(index), state, {}

    def clear(self, kb_id: int, built_with: str) -> None:
        """Starts anew, empty: notes so, and drops the index behind the alias."""
        with self.exclusive(kb_id):
            self._held.pop(kb_id, None)
            state = IndexState(revision=0, built_with=built_with)
            self._write_state(kb_id, "", state, {})
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

    def after_bulk(self, index: str, held: Held) -> None:
        """Called when changes have become visible, before the revision is noted."""

    @contextmanager
    def build_aside(self, build: Build, *, no_later_than: int = 0) -> Iterator[Build]:
        """The build, under its lease; what was left over before goes, and afterwards the index that nobody searches any more.

        It begins with the kept index where that was built with the same and follows `no_later_than` this revision. Raises
        SearchUnavailable where another process builds one for long.
        """
        self._ensure_state_index()
        lease = self._build_lease(build.kb_id)
        with lease:
            self._drop_left_over(build.kb_id)
            kept = read_kept(self.connection, self.alias(build.kb_id))
            if kept is not None and kept.is_for(build.held.state.built_with, no_later_than):
                build.take_up(kept.index, kept.held)
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
        self.connection.patient(lambda client: client.indices.create(index=index, settings=settings, mappings=body))
        return index

    def send_aside(self, kb_id: int, index: str, waiting: Mapping[int, bytes | None]) -> None:
        """Sends documents to an index without an alias, as long as its build's lease holds."""
        send_bulk(self.connection, index, actions_of(waiting), alias=False, before_each=self._build_lease(kb_id).check)

    def make_visible(self, index: str, held: Held) -> None:
        """Makes what was sent visible."""
        self.connection.patient(lambda client: client.indices.refresh(index=index))
        self.after_bulk(index, held)

    def switch_to(self, kb_id: int, index: str, held: Held) -> None:
        """Notes in the index how far it has come, then moves the alias to it; without an index, notes that there is nothing.

        Vectors of another generation that lose the alias are kept; those kept so far are left over from then on.
        """
        if not self._lease(kb_id).depth:
            raise RuntimeError("switch must be called while `exclusive` is held.")
        self._lease(kb_id).check()
        self._write_state(kb_id, index, held.state, held.note)
        before = read_indexes(self.connection, self.alias(kb_id))
        if index:
            move_alias(self.connection, self.alias(kb_id), index, before, keep=self._to_keep(kb_id, index, before, held))
        else:
            self._drop(before.in_force)
        self._held.pop(kb_id, None)

    def _holding(self, kb_id: int) -> Held:
        if not self._lease(kb_id).depth:
            raise RuntimeError("put, delete and refresh must be called while `exclusive` is held.")
        if kb_id not in self._held:
            self._held[kb_id] = self._read(kb_id)
        return self._held[kb_id]

    # In Elasticsearch

    def _lease(self, kb_id: int) -> Lease:
        with self._mutex:
            return self._leases.setdefault(kb_id, Lease(self.connection, self._state_index, self.alias(kb_id)))

    def _build_lease(self, kb_id: int) -> Lease:
        with self._mutex:
            return self._build_leases.setdefault(kb_id, self._lease_to_build(kb_id, wait_s=BUILD_WAIT_S))

    def _lease_to_build(self, kb_id: int, *, wait_s: float) -> Lease:
        return Lease(self.connection, self._state_index, f"{self.alias(kb_id)}:build", wait_s=wait_s, poll_s=BUILD_POLL_S)

    def _read(self, kb_id: int) -> Held:
        """The state as it was last written, refreshed or not: that of the index, else the note that there is none."""
        alias = self.alias(kb_id)
        wanted = [{"_index": alias, "_id": STATE}, {"_index": self._state_index, "_id": f"empty:{alias}"}]
        answers = self.connection.quick(lambda client: client.mget(docs=wanted))["docs"]
        for answer in answers:
            if answer.get("found"):
                return held_of(answer["_source"], exists=answer is answers[0])
            if (error := answer.get("error")) and error["type"] != "index_not_found_exception":
                raise SearchUnavailable(f"Elasticsearch could not read the state of {alias} ({error['type']}).")
        return Held()

    def _write_state(self, kb_id: int, index: str, state: IndexState, note: JSONDict) -> None:
        document = {"revision": state.revision, "built_with": state.built_with, "note": note}
        alias = self.alias(kb_id)
        where, id = (index, STATE) if index else (self._state_index, f"empty:{alias}")
        self.connection.patient(lambda client: client.index(index=where, id=id, document=document, require_alias=index == alias))

    def _send(self, kb_id: int, index: str, held: Held) -> None:
        send_bulk(self.connection, index, actions_of(held.waiting), alias=held.exists, before_each=self._lease(kb_id).check)
        self.make_visible(index, held)

    def _ensure_state_index(self) -> None:
        if self._has_state_index:
            return
        body: JSONDict = {"dynamic": False}
        try:
            self.connection.patient(lambda client: client.indices.create(index=self._state_index, settings=SETTINGS, mappings=body))
        except elasticsearch.BadRequestError as error:
            if error.error != EXISTS:
                raise
        self._has_state_index = True

    def _to_keep(self, kb_id: int, index: str, before: Indexes, held: Held) -> list[str]:
        """The index of the generation before; where the generation stays, whichever was kept."""
        was, now = self._read(kb_id).state.built_with, held.state.built_with
        another = self.keeps_generation_before and was not in ("", now)
        return [*before.in_force[:1]] if another else [name for name in before.kept if name != index]

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
