"""Are ports and password chosen once, and only for who may read them?"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from deploy.stack import addresses
from deploy.stack.addresses import becomes_free, is_free, kept_addresses


def test_a_second_start_uses_the_same_addresses(tmp_path: Path) -> None:
    assert kept_addresses(tmp_path / "stack.json") == kept_addresses(tmp_path / "stack.json")


def test_only_the_owner_can_read_the_password(tmp_path: Path) -> None:
    kept_addresses(tmp_path / "stack.json")
    assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0


def test_a_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "LEFT_BEHIND_S", 0.1)
    before = kept_addresses(tmp_path / "stack.json")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", before.redis))
        taken.listen()
        assert not is_free(before.redis)
        after = kept_addresses(tmp_path / "stack.json")
    assert after.redis != before.redis
    assert (after.postgres, after.elasticsearch, after.password) == (before.postgres, before.elasticsearch, before.password)


def test_a_port_that_another_holds_for_a_moment_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        threading.Timer(0.3, taken.close).start()
        assert becomes_free(port)


def test_a_port_that_stays_taken_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "LEFT_BEHIND_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not becomes_free(taken.getsockname()[1])
