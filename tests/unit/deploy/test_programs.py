"""Is a missing program named with what to install, and does PostgreSQL's user reach its folder?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.stack import programs
from deploy.stack.programs import ProgramMissing, require_programs, resolved
from deploy.stack.users import FolderClosed, give_folder, unprivileged_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as somebody else")


def test_a_machine_without_the_programs_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "POSTGRES_FOLDERS", "/nowhere")
    with pytest.raises(ProgramMissing, match="apt-get install -y postgresql redis-server"):
        require_programs(print)


def test_the_newest_postgresql_of_debian_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9.6", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "POSTGRES_FOLDERS", str(tmp_path))
    assert resolved(("initdb", "-N")) == (str(tmp_path / "17" / "bin" / "initdb"), "-N")


@as_root
def test_a_folder_of_root_alone_lets_the_user_through_and_nobody_else(tmp_path: Path) -> None:
    tmp_path.parent.parent.chmod(0o711)
    tmp_path.parent.chmod(0o711)
    data = tmp_path / "data"
    tmp_path.chmod(0o711)
    data.mkdir(mode=0o700)
    give_folder(data / "postgres", unprivileged_user())
    assert data.stat().st_mode & 0o777 == 0o710
    assert (data / "postgres").owner() == unprivileged_user()


@as_root
def test_a_closed_folder_further_up_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "data").mkdir(mode=0o755)
    with pytest.raises(FolderClosed, match="QA_DATA_DIR"):
        give_folder(tmp_path / "closed" / "data" / "postgres", unprivileged_user())
