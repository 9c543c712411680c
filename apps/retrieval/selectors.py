"""What can be read of knowledge bases, and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.models import KnowledgeBase
from core.errors import NotAuthenticated, NotFound
from core.types import EntryKind, Scope


def kb_for(slug: str, caller: Caller, permission: Permission) -> KnowledgeBase:
    """The knowledge base, if the caller may do this there. One that may not even be read looks as if it did not exist."""
    kb = KnowledgeBase.objects.filter(slug=slug).first()
    if kb is None:
        if caller.anonymous:
            raise NotAuthenticated("This needs a key or a session: send `Authorization: Bearer KEY`, or sign in to the panel.")
        raise NotFound("No such knowledge base.", kb=slug[:80])
    caller.require(permission, kb.pk)
    return kb


def searchable_kb(slug: str, caller: Caller) -> KnowledgeBase:
    """The knowledge base for searching and reading its documents: open ones for anybody, others for who may read them."""
    kb = KnowledgeBase.objects.filter(slug=slug, open_search=True).first() if caller.bot_id is None else None
    return kb or kb_for(slug, caller, Permission.READ)


def may_search(kb: KnowledgeBase, caller: Caller) -> bool:
    """Whether the caller may search it and read its documents: what `searchable_kb` asks."""
    return (kb.open_search and caller.bot_id is None) or caller.may(Permission.READ, kb.pk)


def kb_named(slug: str) -> KnowledgeBase:
    """The knowledge base for a command, which may see everything. Raises NotFound that lists the names there are."""
    kb = KnowledgeBase.objects.filter(slug=slug).first()
    if kb is None:
        known = list(KnowledgeBase.objects.order_by("slug").values_list("slug", flat=True)[:10])
        raise NotFound(f"No knowledge base {slug!r}. There are: {', '.join(known) or 'none yet; make one with create_kb'}.")
    return kb


def readable_scope(kb: KnowledgeBase, caller: Caller) -> Scope:
    """The scope of who reads this knowledge base: who may edit it sees all of it, others what their groups may see."""
    return scope_of([kb], groups=None if caller.may(Permission.EDIT, kb.pk) else caller.groups)


def scope_of(kbs: Iterable[KnowledgeBase], groups: tuple[str, ...] | None = ()) -> Scope:
    """The scope of these knowledge bases at their revisions of this moment, for a caller of these groups.

    Plain SQL: this runs at every question, and building it through the ORM takes five times as long as the query itself.
    """
    ids = tuple(kb.pk for kb in kbs)
    if not ids:
        return Scope(kb_ids=())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, revision FROM retrieval_knowledgebase WHERE id IN ({marks(ids)})", ids)
        revisions = dict(cursor.fetchall())
    known = tuple(pk for pk in ids if pk in revisions)
    return Scope(kb_ids=known, revisions=tuple(revisions[pk] for pk in known), groups=groups)


def stored_tokens(kind: EntryKind, ids: Sequence[int], generations: Sequence[int]) -> dict[int, bytes]:
    """The packed token vectors of these entries (by what they belong to) in these generations, as far as there are any.

    CROSS JOIN keeps SQLite from starting at the generation, which is all entries of the base; PostgreSQL plans as it likes.
    """
    return _stored("tokens", kind, ids, generations)


def stored_vectors(kind: EntryKind, ids: Sequence[int], generations: Sequence[int]) -> dict[int, bytes]:
    """The packed vectors of these entries (by what they belong to) in these generations, as far as there are any."""
    return _stored("vector", kind, ids, generations)


def owners_with_vector(kind: EntryKind, kb_id: int, generations: Sequence[int]) -> list[int]:
    """What the entries of a knowledge base that have a vector in these generations belong to, in order."""
    query = f"""
        SELECT e.owner_id FROM retrieval_entry e JOIN retrieval_entryvector v ON v.entry_id = e.id
        WHERE e.kb_id = %s AND e.kind = %s AND NOT e.deleted AND v.generation_id IN ({marks(generations)}) ORDER BY e.owner_id
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [kb_id, kind.value, *generations])
        return [owner for (owner,) in cursor.fetchall()]


def _stored(column: str, kind: EntryKind, ids: Sequence[int], generations: Sequence[int]) -> dict[int, bytes]:
    """CROSS JOIN: see `stored_tokens`. `column` is one of ours, never a caller's text."""
    if not ids or not generations:
        return {}
    query = f"""
        SELECT e.owner_id, v.{column} FROM retrieval_entry e CROSS JOIN retrieval_entryvector v
        WHERE e.kind = %s AND e.owner_id IN ({marks(ids)}) AND v.entry_id = e.id AND v.generation_id IN ({marks(generations)})
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [kind.value, *ids, *generations])
        return {owner: bytes(packed) for owner, packed in cursor.fetchall() if packed is not None}


def marks(values: Sequence[object]) -> str:
    """Placeholders for `IN (…)` of a plain query; NULL, which matches nothing, where there are no values."""
    return ", ".join(["%s"] * len(values)) or "NULL"
