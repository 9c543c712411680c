"""Who did what: one entry for each change, written in the change's own transaction."""

from __future__ import annotations

from collections.abc import Iterable

from apps.accounts.models import AuditEntry
from apps.accounts.permissions import Caller
from core.types import JSONDict


def record(caller: Caller, action: str, *, target: str, kb: str = "", details: JSONDict | None = None) -> None:
    """Adds an entry to the audit trail."""
    AuditEntry.objects.create(actor=caller.name or "anybody", action=action, target=target[:200], kb_slug=kb, details=details or {})


def first_of(ids: Iterable[str]) -> str:
    """What a change of many is said to be of: the first three, and how many more."""
    ids = list(ids)
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
