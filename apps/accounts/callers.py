"""Who is behind a stored name? Work that goes on in the background has the rights that its caller has at that moment."""

from __future__ import annotations

from apps.accounts.commands import command_caller
from apps.accounts.keys import caller_of_row, caller_of_user, usable_keys
from apps.accounts.models import User
from apps.accounts.permissions import Caller
from core.errors import Forbidden


def caller_named(name: str) -> Caller:
    """The caller of a stored name (`user:7`, `key:3`, `command:ingest`). Raises Forbidden where that person or key is gone."""
    kind, _, key = name.partition(":")
    if kind == "command":
        return command_caller(key)
    found: Caller | None = None
    if kind == "user" and key.isdecimal() and (user := User.objects.filter(pk=int(key)).first()):
        found = caller_of_user(user)
    if kind == "key" and key.isdecimal() and (row := usable_keys().filter(pk=int(key)).first()):
        found = caller_of_row(row)
    if found is None or found.anonymous:
        raise Forbidden("Whoever asked for this may no longer do it: the person or key is gone.", actor=name[:160])
    return found
