"""Where are the programs that the stack is made of, and what is to be done where one is missing?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

# What Debian calls the package of each program. Its PostgreSQL keeps the server's programs out of PATH.
PACKAGES: Mapping[str, str] = {"redis-server": "redis-server", "postgres": "postgresql", "initdb": "postgresql"}
POSTGRES_FOLDERS = "/usr/lib/postgresql"


class ProgramMissing(Exception):
    """A program is not on this machine; the message names what to install."""


def find_program(name: str) -> str | None:
    """The program's path: beside the Python that runs, in PATH, or where Debian keeps the newest PostgreSQL."""
    beside = Path(sys.executable).parent / name
    newest_first = sorted(Path(POSTGRES_FOLDERS).glob(f"*/bin/{name}"), key=lambda path: -float(path.parts[-3]))
    return str(beside) if beside.exists() else shutil.which(name) or next(map(str, newest_first), None)


def require_programs(say: Callable[[str], None]) -> None:
    """Installs the packages that are missing where that is possible (Debian, as root). Raises ProgramMissing elsewhere."""
    packages = sorted({package for program, package in PACKAGES.items() if not find_program(program)})
    if not packages:
        return
    words = f"apt-get install -y {' '.join(packages)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ProgramMissing(f"This machine lacks {' and '.join(packages)}. On Debian or Ubuntu: sudo {words}")
    say(f"{words} (once: this machine lacks them)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False)
    done = subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=environment, stdout=subprocess.DEVNULL
    )
    if done.returncode or any(not find_program(program) for program in PACKAGES):
        raise ProgramMissing(f"`{words}` did not bring what is missing. Install it by hand and start again.")


def resolved(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command with its program's full path; `python` is the Python that runs. Raises ProgramMissing."""
    program = sys.executable if command[0] == "python" else find_program(command[0])
    if program is None:
        raise ProgramMissing(f"{command[0]} is not on this machine.")
    return (program, *command[1:])
