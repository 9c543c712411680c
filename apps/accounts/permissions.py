"""Who may do what: roles, what each role permits, and the caller that a request comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from core.errors import Forbidden, NotAuthenticated, NotFound


class Permission(StrEnum):
    """The things a role can permit."""

    ASK = "ask"
    READ = "read"
    EDIT = "edit"
    PUBLISH = "publish"
    MANAGE = "manage"


class AccessRole(StrEnum):
    """Roles, from most to least. Every role may do what the later ones may."""

    ADMIN = "admin"
    REVIEWER = "reviewer"
    EDITOR = "editor"
    VIEWER = "viewer"
    ASKER = "asker"


PERMISSIONS: Mapping[AccessRole, frozenset[Permission]] = {
    AccessRole.ADMIN: frozenset(Permission),
    AccessRole.REVIEWER: frozenset({Permission.ASK, Permission.READ, Permission.EDIT, Permission.PUBLISH}),
    AccessRole.EDITOR: frozenset({Permission.ASK, Permission.READ, Permission.EDIT}),
    AccessRole.VIEWER: frozenset({Permission.ASK, Permission.READ}),
    AccessRole.ASKER: frozenset({Permission.ASK}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whoever a request comes from. `name` is stable (`user:7`, `key:3`, empty for anybody) and owns conversations.

    `role` holds in every knowledge base, `kb_roles` in single ones; a key with `bot_id` may do nothing but ask that bot.
    `groups` open the documents whose access lists name them.
    """

    name: str = ""
    role: AccessRole | None = None
    kb_roles: Mapping[int, AccessRole] = field(default_factory=dict)
    bot_id: int | None = None
    groups: tuple[str, ...] = ()

    @property
    def anonymous(self) -> bool:
        """Whether nobody is known to ask."""
        return not self.name

    def may(self, permission: Permission, kb_id: int | None = None) -> bool:
        """Whether the caller may do this in the knowledge base, or in all of them where none is given."""
        if self.bot_id is not None:
            return False
        roles = [self.role] if self.role else []
        if kb_id is not None and kb_id in self.kb_roles:
            roles.append(self.kb_roles[kb_id])
        return any(permission in PERMISSIONS[role] for role in roles)

    def require(self, permission: Permission, kb_id: int) -> None:
        """Raises NotAuthenticated for anybody, NotFound for who may not even read there, Forbidden for who may read only."""
        if self.may(permission, kb_id):
            return
        if self.anonymous:
            raise NotAuthenticated("This needs a key or a session: send `Authorization: Bearer KEY`, or sign in to the panel.")
        if not self.may(Permission.READ, kb_id):
            raise NotFound("No such knowledge base.")
        raise Forbidden(f"Your role may not {permission.value} in this knowledge base.", permission=permission.value)


ANYBODY = Caller()
