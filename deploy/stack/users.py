"""As whom do programs run that refuse to be root, and how do they reach their folder?"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import TypedDict


class FolderClosed(Exception):
    """A folder above the data folder lets nobody but root through; the message says what to do."""


class Identity(TypedDict):
    """What `subprocess` needs to run a program as somebody else."""

    user: int | None
    group: int | None
    extra_groups: list[str | int] | None


def unprivileged_user() -> str | None:
    """Whom PostgreSQL and Elasticsearch, which refuse to run as root, run as; None where we are not root anyway."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def identity_of(user: str | None) -> Identity:
    """The user with its own group and no other; for None, who we are."""
    if user is None:
        return Identity(user=None, group=None, extra_groups=None)
    entry = pwd.getpwnam(user)
    return Identity(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])


def give_folder(folder: Path, user: str | None) -> None:
    """Makes `folder` and hands it to `user`, who gets no more than a way through the folder above. Raises FolderClosed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is None:
        return
    shutil.chown(folder, user=user)
    if not _can_reach(folder, user):
        _open_way_through(folder.parent, user)
    if not _can_reach(folder, user):
        raise FolderClosed(
            f"A folder above {folder} is closed to user {user}, and PostgreSQL refuses to run as root. "
            "Set QA_DATA_DIR to a folder that others may pass through (such as /var/lib/wenlu), or run as an ordinary user."
        )


def _can_reach(folder: Path, user: str) -> bool:
    return subprocess.run(["test", "-x", folder], cwd="/", **identity_of(user)).returncode == 0


def _open_way_through(folder: Path, user: str) -> None:
    """Lets the user's group pass through (not list) a folder that is root's alone, such as one that `mktemp -d` made."""
    status = folder.stat()
    if status.st_uid == 0 and not status.st_mode & 0o070:
        os.chown(folder, -1, pwd.getpwnam(user).pw_gid)
        folder.chmod(status.st_mode & 0o7777 | 0o010)
