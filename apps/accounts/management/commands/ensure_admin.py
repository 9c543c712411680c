"""Who is the first to sign in? Makes the user `admin` once, with a password that only the owner of the data folder can read."""

from __future__ import annotations

import secrets
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction

from apps.accounts.models import User

USERNAME = "admin"


class Command(BaseCommand):
    """`manage.py ensure_admin`."""

    help = "Creates the user `admin` with a generated password where there is no such user, and says where the password is kept."

    def handle(self, **options: object) -> None:
        """Prints the password when it is made; later only the file that holds it, as long as that exists."""
        path = password_file()
        password = create_admin(path)
        if password is not None:
            self.stdout.write(f"First administrator: user {USERNAME}, password {password}  (kept in {path})")
        elif path.exists():
            self.stdout.write(f"Administrator: user {USERNAME}; its first password is in {path}")


def password_file() -> Path:
    """Where the generated password lies."""
    return Path(settings.DATA_DIR) / "admin_password"


def create_admin(path: Path) -> str | None:
    """The password of the user just created, also written to `path` with mode 0600; None where the user existed."""
    if User.objects.filter(username=USERNAME).exists():
        return None
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        User.objects.create_superuser(USERNAME, password=password)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(password + "\n")
    return password
