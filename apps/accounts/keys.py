"""How API keys are made and recognised. A key is 40 random characters; only its SHA-256 is stored."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.models import ApiKey, User
from apps.accounts.permissions import ANYBODY, AccessRole, Caller
from core.config import get_settings
from core.errors import NotAuthenticated
from core.remembered import Remembered

_PREFIX = "wl_"


def create_key(
    *, name: str, role: AccessRole, kb_id: int | None = None, bot_id: int | None = None, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key and its text, which cannot be had again."""
    text = _PREFIX + secrets.token_urlsafe(30)
    key = ApiKey.objects.create(
        name=name, prefix=text[:10], digest=_digest(text), role=role.value, kb_id=kb_id, bot_id=bot_id, expires_at=expires_at
    )
    return key, text


def caller_of_key(text: str) -> Caller:
    """Who holds this key. Raises NotAuthenticated for a key that is unknown, revoked or expired.

    A key is remembered for `QA_REMEMBER_S`, so that it works at most that long after its end.
    """
    return _callers.get(_digest(text))


def usable_keys() -> QuerySet[ApiKey]:
    """The keys that are neither revoked nor expired."""
    return ApiKey.objects.filter(Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now())))


def caller_of_row(key: ApiKey) -> Caller:
    """Who holds a usable key."""
    role = AccessRole(key.role)
    if key.bot_id is not None:
        return Caller(name=f"key:{key.pk}", bot_id=key.bot_id)
    if key.kb_id is not None:
        return Caller(name=f"key:{key.pk}", kb_roles={key.kb_id: role})
    return Caller(name=f"key:{key.pk}", role=role)


def _read_caller(digest: str) -> Caller:
    key = usable_keys().filter(digest=digest).first()
    if key is None:
        raise NotAuthenticated("The key is unknown, revoked or expired. Make one with `manage.py create_key`.")
    return caller_of_row(key)


def caller_of_user(user: User) -> Caller:
    """What a signed-in person may do; ANYBODY for an anonymous or inactive one."""
    if not user.is_authenticated or not user.is_active:
        return ANYBODY
    role = AccessRole.ADMIN if user.is_superuser else AccessRole(user.role) if user.role else None
    memberships = {membership.kb_id: AccessRole(membership.role) for membership in user.memberships.all()}
    groups = tuple(user.groups.order_by("name").values_list("name", flat=True))
    return Caller(name=f"user:{user.pk}", role=role, kb_roles=memberships, groups=groups)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_callers = Remembered(_read_caller, keep_s=lambda: get_settings().remember_s)
