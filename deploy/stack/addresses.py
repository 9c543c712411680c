"""Which ports and which password does this data folder's stack use? Chosen once, kept in `stack.json`, so that a second start finds its data."""

from __future__ import annotations

import json
import random
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

# Below the ports that systems lend to outgoing connections (Linux from 32768): a restarted program finds its port free.
PORTS = range(20_000, 32_000)
LEFT_BEHIND_S = 6.0


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the servers of one data folder listen. Elasticsearch also takes the port 100 above its own."""

    postgres: int
    redis: int
    elasticsearch: int
    password: str


def kept_addresses(file: Path) -> Addresses:
    """The addresses in `file`, made on first use; a port that another program has taken meanwhile is replaced."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    addresses = Addresses(
        postgres=_usable(kept.get("postgres")),
        redis=_usable(kept.get("redis")),
        elasticsearch=kept.get("elasticsearch") or free_port(),
        password=kept.get("password") or secrets.token_hex(24),
    )
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(addresses), indent=2) + "\n")
    return addresses


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def becomes_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server can listen there, if need be after what was left behind, or another's outgoing connection, has ended."""
    end = time.monotonic() + LEFT_BEHIND_S
    while not is_free(port, host):
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)
    return True


def _usable(kept: int | None) -> int:
    """The kept port, where it becomes free."""
    return kept if kept and becomes_free(kept) else free_port()


def free_port() -> int:
    while True:
        port = random.choice(PORTS)
        if is_free(port) and is_free(port + 100):
            return port
