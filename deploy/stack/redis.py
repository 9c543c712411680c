"""How does a Redis of its own come up in a folder? It keeps nothing on disk: messages, live turns and heartbeats only."""

from __future__ import annotations

from pathlib import Path

from deploy.stack.checks import redis_ok
from deploy.stack.programs import resolved
from deploy.stack.supervisor import Process

SETTINGS = """\
bind 127.0.0.1
port {port}
dir {folder}
requirepass {password}
"""


def redis_process(command: tuple[str, ...], folder: Path, *, port: int, password: str) -> Process:
    """Redis on `port` of this machine. Its password stands in a file that only its owner reads, not in the list of processes."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    file.write_text(SETTINGS.format(port=port, folder=f'"{folder}"', password=password))
    url = redis_url(port, password)
    program, *words = resolved(command)
    return Process(name="redis", command=(program, str(file), *words), grace_s=3, ready=lambda pid: redis_ok(url))


def redis_url(port: int, password: str) -> str:
    """What `QA_REDIS_URL` is set to."""
    return f"redis://:{password}@127.0.0.1:{port}/0"
