"""Which indexes in Elasticsearch does a knowledge base have, and which one may a rollback go back to?

Every index has an alias of its own, INDEX-own, by which it is written to: what comes late, when another index has taken its
place, reaches it and no other, or nothing where it is gone.

At a switch of vectors to another generation the index that loses the alias is kept, at most one: it gets the alias ALIAS-kept in
the same step. Its own state document says what it was built with and how far it follows, so that a build of that generation takes
it up and reads what has changed since. Tombstones stay in the outbox as long as their knowledge base: none is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import elasticsearch

from apps.retrieval.indexes.elastic_connection import ElasticConnection
from apps.retrieval.indexes.elastic_held import Held
from apps.retrieval.indexes.elastic_state import own_alias, read_index
from core.errors import SearchUnavailable
from core.types import JSONDict


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexes:
    """Names of the indexes of one knowledge base, kind and part: with the alias, with that of a kept one, and those that nobody will switch to."""

    in_force: tuple[str, ...]
    kept: tuple[str, ...]
    left_over: tuple[str, ...]


def kept_alias(alias: str) -> str:
    """The name under which the index of the generation before is kept."""
    return f"{alias}-kept"


def _switching_alias(alias: str) -> str:
    return f"{alias}-switching"


def read_indexes(connection: ElasticConnection, alias: str) -> Indexes:
    """The indexes that there are. A kept one without one in force belongs to a knowledge base that was emptied: it is left over."""
    found = connection.patient(lambda client: client.indices.get(index=f"{alias}-*", features=["aliases"]))
    aliases = {name: set(about["aliases"]) for name, about in sorted(found.items())}
    in_force = tuple(name for name, own in aliases.items() if alias in own)
    kept = tuple(name for name, own in aliases.items() if kept_alias(alias) in own)
    spared = {*in_force, *(kept if in_force else ())}
    return Indexes(in_force=in_force, kept=kept, left_over=tuple(name for name in aliases if name not in spared))


def read_kept(connection: ElasticConnection, alias: str) -> Held | None:
    """The kept index; None where there is none, or it does not say what it is."""
    return read_index(connection, kept_alias(alias))


def find_left_over(connection: ElasticConnection, alias: str, still_there: Callable[[str], bool]) -> list[str]:
    """What may be dropped: also the kept index, where its generation (`built_with`) is not `still_there`, or has an index in force anyhow."""
    found = read_indexes(connection, alias)
    kept, in_force = (read_kept(connection, alias), read_index(connection, alias)) if found.kept else (None, None)
    if kept is None:
        return [*found.left_over]
    built_with = kept.state.built_with
    is_spared = still_there(built_with) and not (in_force and in_force.state.built_with == built_with)
    return sorted({*found.left_over, *(() if is_spared else found.kept)}.difference(found.in_force))


def give_own_alias(connection: ElasticConnection, index: str) -> None:
    """Gives an index the alias by which it is written to, where an earlier version made it without."""
    _change(connection, [{"add": {"index": index, "alias": own_alias(index)}}])


def announce_switch(connection: ElasticConnection, alias: str, index: str) -> None:
    """Says that the index is about to get the alias: `move_alias` fails once somebody has had this withdrawn."""
    _change(connection, [{"add": {"index": index, "alias": _switching_alias(alias)}}])


def withdraw_switch(connection: ElasticConnection, alias: str) -> None:
    """Has every switch fail that was announced and not done: called by whoever takes over from a process that does not move."""
    with suppress(elasticsearch.NotFoundError):
        connection.patient(lambda client: client.indices.delete_alias(index=f"{alias}-*", name=_switching_alias(alias)))


def move_alias(connection: ElasticConnection, alias: str, index: str, before: Indexes, *, keep: Sequence[str]) -> None:
    """Gives the alias to `index`, whose switch was announced, in one step of the cluster; of all others those in `keep` stay kept, and only they.

    Raises SearchUnavailable where the indexes are not those of `before` any more: the alias is never that of two.
    """
    gone = [(name, alias) for name in before.in_force] + [(name, kept_alias(alias)) for name in before.kept if name not in keep]
    gone.append((index, _switching_alias(alias)))
    actions: list[JSONDict] = [{"remove": {"index": name, "alias": one, "must_exist": True}} for name, one in gone]
    actions.append({"add": {"index": index, "alias": alias, "is_write_index": True}})  # of these an alias has one
    actions += [{"add": {"index": name, "alias": kept_alias(alias)}} for name in keep]
    _change(connection, actions)


def _change(connection: ElasticConnection, actions: Sequence[JSONDict]) -> None:
    try:
        connection.patient(lambda client: client.indices.update_aliases(actions=actions))
    except elasticsearch.NotFoundError as error:
        raise SearchUnavailable("Another process has switched or dropped the index meanwhile; this is done again.") from error
