"""Who opens a socket, and from which page? The same checks for every consumer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from apps.accounts.authentication import key_in_header
from apps.accounts.keys import caller_of_key, caller_of_user
from apps.accounts.permissions import Caller
from core.config import get_settings
from core.errors import Forbidden

# Close codes of this application (4000-4999 are free for them, RFC 6455 section 7.4.2).
CLOSE_REFUSED = 4403
CLOSE_UNKNOWN = 4404


def header_of(scope: Any, name: bytes) -> str:
    """A header of the request that opened the socket; empty where it had none of that name."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def check_origin(scope: Any) -> None:
    """A browser says which page opens the socket: it must be ours or a trusted one. Programs say nothing. Raises Forbidden."""
    origin = header_of(scope, b"origin")
    trusted = {one.strip() for one in get_settings().trusted_origins.split(",")}
    if origin and origin not in trusted and _place(origin) != header_of(scope, b"host"):
        raise Forbidden("Pages of this origin may not open sockets here; QA_TRUSTED_ORIGINS lists those that may.", origin=origin[:200])


def _place(origin: str) -> str | None:
    """Host and port of an origin; None for what is none, as `null` or a broken address."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def caller_of_socket(scope: Any) -> Caller:
    """Who opened it: the key in its header, or the person whose session it is. To be called in a thread."""
    key = key_in_header(header_of(scope, b"authorization"))
    return caller_of_key(key) if key else caller_of_user(scope["user"])
