"""Who sends an HTTP request: `Authorization: Bearer KEY`, or the session of the panel."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from apps.accounts.keys import caller_of_key, caller_of_user
from apps.accounts.models import User
from apps.accounts.permissions import ANYBODY, Caller
from core.errors import NotAuthenticated

_SCHEME = "bearer "


def key_in_header(header: str) -> str | None:
    """The key of an `Authorization` header; None where there is no header. Raises NotAuthenticated for another scheme."""
    if not header:
        return None
    if not header.lower().startswith(_SCHEME):
        raise NotAuthenticated("Send the key as `Authorization: Bearer KEY`.")
    return header[len(_SCHEME) :].strip()


class ApiKeyAuthentication(BaseAuthentication):
    """`request.auth` becomes the key's Caller."""

    def authenticate(self, request: Request) -> tuple[None, Caller] | None:
        key = key_in_header(request.headers.get("authorization", ""))
        return None if key is None else (None, caller_of_key(key))

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class PanelSessionAuthentication(SessionAuthentication):
    """`request.auth` becomes the Caller of whoever is signed in to the panel; unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Caller] | None:
        signed_in = super().authenticate(request)
        return None if signed_in is None else (signed_in[0], caller_of_user(signed_in[0]))


def caller_of(request: Request | HttpRequest) -> Caller:
    """Whoever sends the request; ANYBODY where no key and no session came with it."""
    if isinstance(request, Request):
        return request.auth if isinstance(request.auth, Caller) else ANYBODY
    return caller_of_user(request.user)
