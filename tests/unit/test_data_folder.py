"""Who can read what a start puts into the data folder, and what happens when several processes start together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qa_project import settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    return tmp_path


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_processes_that_start_together_share_one_secret_key(folder: Path) -> None:
    with ThreadPoolExecutor(8) as starts:
        keys = set(starts.map(lambda _: settings._kept_secret_key(), range(8)))
    assert len(keys) == 1 and len(keys.pop()) >= 50
    assert [path.name for path in folder.iterdir()] == ["secret_key"]


def test_the_owner_alone_reads_the_secret_key_and_the_database(folder: Path) -> None:
    settings._kept_secret_key()
    settings._database("")
    assert (mode(folder / "secret_key"), mode(folder / "wenlu.sqlite3")) == (0o600, 0o600)
