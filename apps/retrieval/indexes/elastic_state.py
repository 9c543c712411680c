"""How far does an index in Elasticsearch follow its knowledge base? It says so itself, in the document `state`.

It holds the revision and what the index was built with, and is written after the refresh that made the revision visible: only
by whoever has seen the one before it (`if_seq_no`), so that a process that comes late does not set it back. Where there is no
index, because there was never an entry, PREFIX-state notes "empty as of this revision".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import elasticsearch

from apps.retrieval.indexes.elastic_connection import EXISTS, ElasticConnection
from apps.retrieval.indexes.elastic_held import Held
from core.errors import SearchUnavailable
from core.types import IndexState, JSONDict

STATE = "state"
STATE_FIELDS: JSONDict = {
    "id": {"type": "long"},
    "revision": {"type": "long", "index": False},
    "built_with": {"type": "keyword", "index": False},
}


def own_alias(index: str) -> str:
    """The name by which an index is written to."""
    return f"{index}-own"


def read_index(connection: ElasticConnection, alias: str) -> Held | None:
    """The index behind an alias; None where there is none, or it does not say what it is."""
    try:
        found = connection.quick(lambda client: client.get(index=alias, id=STATE))
    except elasticsearch.NotFoundError:
        return None
    return _held(found.body)


class ElasticStates:
    """The states of all indexes with a prefix; `index` holds the notes of those that are empty, and leases."""

    def __init__(self, connection: ElasticConnection, settings: JSONDict) -> None:
        self.index = f"{connection.prefix}-{STATE}"
        self._connection, self._settings = connection, settings
        self._is_there = False

    def ensure(self) -> None:
        """Makes the index for notes and leases, once."""
        if self._is_there:
            return
        body: JSONDict = {"dynamic": False}
        try:
            self._connection.patient(lambda client: client.indices.create(index=self.index, settings=self._settings, mappings=body))
        except elasticsearch.BadRequestError as error:
            if error.error != EXISTS:
                raise
        self._is_there = True

    def read(self, alias: str) -> Held:
        """The state as it was last written, refreshed or not: that of the index behind the alias, else the note that there is none."""
        wanted = [{"_index": alias, "_id": STATE}, {"_index": self.index, "_id": _note_id(alias)}]
        answers = self._connection.quick(lambda client: client.mget(docs=wanted))["docs"]
        for answer in answers:
            if answer.get("found"):
                return _held(answer) if answer is answers[0] else Held(state=_state(answer["_source"]))
            if (error := answer.get("error")) and error["type"] != "index_not_found_exception":
                raise SearchUnavailable(f"Elasticsearch could not read the state of {alias} ({error['type']}).")
        return Held()

    def write(self, alias: str, held: Held) -> None:
        """Notes how far the index has come, or that there is none. Raises SearchUnavailable where somebody else did so since, or it is gone."""
        document = {"revision": held.state.revision, "built_with": held.state.built_with, "note": held.note}
        if not held.index:
            self._connection.patient(lambda client: client.index(index=self.index, id=_note_id(alias), document=document))
            return
        where, seen = own_alias(held.index), held.state_version
        once: dict[str, Any] = {"if_seq_no": seen[0], "if_primary_term": seen[1]} if seen else {"op_type": "create"}
        try:
            done = self._connection.patient(
                lambda client: client.index(index=where, id=STATE, document=document, require_alias=True, **once)
            )
        except (elasticsearch.NotFoundError, elasticsearch.ConflictError) as error:
            raise overtaken(held.index) from error
        held.state_version = int(done["_seq_no"]), int(done["_primary_term"])


def overtaken(index: str) -> SearchUnavailable:
    """What a process raises that comes too late."""
    return SearchUnavailable(f"The index {index} was dropped, or followed further, by another process meanwhile; this is done again.")


def _note_id(alias: str) -> str:
    return f"empty:{alias}"


def _held(found: Mapping[str, Any]) -> Held:
    row = found["_source"]
    seen = (int(found["_seq_no"]), int(found["_primary_term"]))
    return Held(index=found["_index"], state=_state(row), state_version=seen, note=dict(row["note"]))


def _state(row: Mapping[str, Any]) -> IndexState:
    return IndexState(revision=int(row["revision"]), built_with=str(row["built_with"]))
