"""How a command tells a person that it failed: one clear line, and an exit status other than 0."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_slug

from apps.accounts.permissions import AccessRole, Caller
from core.errors import InvalidRequest, QAError


class WenluCommand(BaseCommand):
    """A command whose expected failures are shown without a traceback."""

    failure_status = 1

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Runs the command. Raises CommandError with the message of any QAError."""
        try:
            return super().execute(*args, **options)
        except QAError as error:
            raise CommandError(error.message, returncode=self.failure_status) from error


def command_caller(name: str) -> Caller:
    """Who acts when a command does: an administrator by the command's name, for the audit trail."""
    return Caller(name=f"command:{name}", role=AccessRole.ADMIN)


def check_slug(slug: str) -> str:
    """The slug, if it can stand in addresses. Raises InvalidRequest."""
    try:
        validate_slug(slug)
    except ValidationError as error:
        raise InvalidRequest(f"{slug!r} is no slug: letters, digits, - and _ only.", field="slug") from error
    if len(slug) > 80:
        raise InvalidRequest("A slug has at most 80 characters.", field="slug")
    return slug
