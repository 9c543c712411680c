"""Which indexes in Elasticsearch does a knowledge base have, and which one may a rollback go back to?

At a switch of vectors to another generation the index that loses the alias is kept, at most one: it gets the alias ALIAS-kept in
the same step. Its own state document says what it was built with and how far it follows, so that a build of that generation takes
it up and reads what has changed since. Tombstones stay in the outbox as long as their knowledge base: none is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import elasticsearch

from apps.retrieval.indexes.elastic_build import Held
from apps.retrieval.indexes.elastic_connection import ElasticConnection
from core.types import IndexState, JSONDict

STATE = "state"


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexes:
    """Names of the indexes of one knowledge base, kind and part: with the alias, with that of a kept one, and those that nobody will switch to."""

    in_force: tuple[str, ...]
    kept: tuple[str, ...]
    left_over: tuple[str, ...]


NO_INDEXES = Indexes(in_force=(), kept=(), left_over=())


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredIndex:
    """An index, and what it knows of itself."""

    index: str
    held: Held

    def is_for(self, built_with: str, no_later_than: int) -> bool:
        """Whether a build may take it up: not where it is ahead of the database, which was then put back to an older copy."""
        state = self.held.state
        return state.built_with == built_with and 0 < state.revision <= no_later_than


def kept_alias(alias: str) -> str:
    """The name under which the index of the generation before is kept."""
    return f"{alias}-kept"


def held_of(row: JSONDict, *, exists: bool) -> Held:
    """A state document as it is read."""
    state = IndexState(revision=int(str(row["revision"])), built_with=str(row["built_with"]))
    note = row["note"]
    return Held(exists=exists, state=state, note=note if exists and isinstance(note, dict) else {})


def read_indexes(connection: ElasticConnection, alias: str) -> Indexes:
    """The indexes that there are. A kept one without one in force belongs to a knowledge base that was emptied: it is left over."""
    found = connection.patient(lambda client: client.indices.get(index=f"{alias}-*", features=["aliases"]))
    aliases = {name: set(about["aliases"]) for name, about in sorted(found.items())}
    in_force = tuple(name for name, own in aliases.items() if alias in own)
    kept = tuple(name for name, own in aliases.items() if kept_alias(alias) in own)
    spared = {*in_force, *(kept if in_force else ())}
    return Indexes(in_force=in_force, kept=kept, left_over=tuple(name for name in aliases if name not in spared))


def read_kept(connection: ElasticConnection, alias: str) -> StoredIndex | None:
    """The kept index; None where there is none, or it does not say what it is."""
    return _read(connection, kept_alias(alias))


def find_left_over(connection: ElasticConnection, alias: str, still_there: Callable[[str], bool]) -> list[str]:
    """What may be dropped: also the kept index, where its generation (`built_with`) is not `still_there`, or has an index in force anyhow."""
    found = read_indexes(connection, alias)
    kept, in_force = (_read(connection, kept_alias(alias)), _read(connection, alias)) if found.kept else (None, None)
    if kept is None:
        return [*found.left_over]
    built_with = kept.held.state.built_with
    is_spared = still_there(built_with) and not (in_force and in_force.held.state.built_with == built_with)
    return sorted({*found.left_over, *(() if is_spared else found.kept)}.difference(found.in_force))


def move_alias(connection: ElasticConnection, alias: str, index: str, before: Indexes, *, keep: Sequence[str]) -> None:
    """Gives the alias to `index` in one step of the cluster; of all others those in `keep` stay kept, and only they."""
    gone = [(name, alias) for name in before.in_force] + [(name, kept_alias(alias)) for name in before.kept if name not in keep]
    come = [(index, alias), *((name, kept_alias(alias)) for name in keep)]
    actions: list[JSONDict] = [{"remove": {"index": name, "alias": one}} for name, one in gone]
    actions += [{"add": {"index": name, "alias": one}} for name, one in come]
    connection.patient(lambda client: client.indices.update_aliases(actions=actions))


def _read(connection: ElasticConnection, name: str) -> StoredIndex | None:
    try:
        found = connection.quick(lambda client: client.get(index=name, id=STATE))
    except elasticsearch.NotFoundError:
        return None
    return StoredIndex(index=found["_index"], held=held_of(found["_source"], exists=True))
