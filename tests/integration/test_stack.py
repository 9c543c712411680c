"""Does the supervisor of `make stack` keep its promises? Real processes: small ones, and the real PostgreSQL and Redis where they are."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.stack.addresses import kept_addresses
from deploy.stack.postgres import database_url, postgres_process
from deploy.stack.programs import find_program
from deploy.stack.redis import redis_process
from deploy.stack.supervisor import Process, StackFailed, Supervisor, is_alive
from deploy.stack.topology import POSTGRES, REDIS

LIMIT_S = 20.0


class Stack:
    """A running supervisor and what it has said."""

    def __init__(self, folder: Path, *processes: Process) -> None:
        self.run, self.log, self.said = folder / "run", folder / "log", list[str]()
        self.supervisor = Supervisor(processes, run=self.run, log=self.log, say=self.said.append)

    def pid(self, name: str) -> int:
        file = self.run / f"{name}.pid"
        return int(file.read_text()) if file.exists() else 0

    async def until(self, test: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT_S
        while not test():
            assert time.monotonic() < end, self.said
            await asyncio.sleep(0.02)


@asynccontextmanager
async def started(folder: Path, *processes: Process) -> AsyncIterator[Stack]:
    """A stack that has been ready; it is stopped at the end, and must then be quick."""
    stack = Stack(folder, *processes)
    running = asyncio.ensure_future(stack.supervisor.run())
    await asyncio.wait_for(stack.supervisor.ready(), LIMIT_S)
    try:
        yield stack
    finally:
        stack.supervisor.stop()
        await asyncio.wait_for(running, LIMIT_S)


def sleeper(name: str = "sleeper", **more: object) -> Process:
    return Process(name=name, command=("sleep", "600"), **more)  # type: ignore[arg-type]


def writer(name: str, file: Path, *, needs: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Process:
    """Says in `file` when it starts and when it has been asked to end."""
    script = f"trap 'echo {name} ends >> {file}; exit' TERM; echo {name} starts >> {file}; while :; do sleep 0.05; done"
    return Process(
        name=name, command=("sh", "-c", script), needs=needs, after=after, ready=lambda pid: f"{name} starts" in file.read_text()
    )


async def test_what_is_killed_is_started_again_with_a_new_pid_file(tmp_path: Path) -> None:
    async with started(tmp_path, sleeper("one"), sleeper("two")) as stack:
        old, other = stack.pid("one"), stack.pid("two")
        os.kill(old, signal.SIGKILL)
        await stack.until(lambda: stack.pid("one") != old)
        assert is_alive(stack.pid("one"))
        assert stack.pid("two") == other
        assert any("one died (signal SIGKILL)" in line for line in stack.said)


async def test_at_the_end_nothing_is_left(tmp_path: Path) -> None:
    async with started(tmp_path, sleeper("one"), sleeper("two")) as stack:
        pids = [stack.pid("one"), stack.pid("two")]
    assert not any(map(is_alive, pids))
    assert list(stack.run.iterdir()) == []


async def test_a_process_starts_after_what_it_needs_and_ends_before_it(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.touch()
    async with started(tmp_path, writer("web", diary, needs=("database",)), writer("database", diary)):
        pass
    assert diary.read_text().splitlines() == ["database starts", "web starts", "web ends", "database ends"]


async def test_a_process_may_come_last_without_needing_the_others(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.touch()
    async with started(tmp_path, writer("last", diary, after=("first",)), writer("first", diary)) as stack:
        assert diary.read_text().splitlines() == ["first starts", "last starts"]
        os.kill(stack.pid("first"), signal.SIGKILL)
        await stack.until(lambda: diary.read_text().splitlines()[2:] == ["first starts"])


async def test_a_process_that_does_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    script, trap_is_set = "trap '' TERM; touch trapped; while :; do sleep 0.05; done", tmp_path / "trapped"
    deaf = Process(name="deaf", command=("sh", "-c", f"cd {tmp_path}; {script}"), ready=lambda pid: trap_is_set.exists(), grace_s=0.3)
    async with started(tmp_path, deaf) as stack:
        pid = stack.pid("deaf")
    assert not is_alive(pid)
    assert "deaf did not end within 0 s and is killed" in stack.said


async def test_a_step_that_fails_ends_everything_and_shows_its_log(tmp_path: Path) -> None:
    step = Process(name="prepare", command=("sh", "-c", "echo no such table; exit 3"), needs=("database",), once=True)
    stack = Stack(tmp_path, sleeper("database"), step, sleeper("web", needs=("prepare",)))
    with pytest.raises(StackFailed, match=r"(?s)prepare failed \(status 3\).*no such table"):
        await asyncio.wait_for(stack.supervisor.run(), LIMIT_S)
    assert not any(line.startswith("web") for line in stack.said)


async def test_what_keeps_dying_waits_longer_each_time(tmp_path: Path) -> None:
    stack = Stack(tmp_path, Process(name="broken", command=("sh", "-c", "echo out of order; exit 1")))
    running = asyncio.ensure_future(stack.supervisor.run())
    await stack.until(lambda: len(stack.said) >= 6)
    stack.supervisor.stop()
    await running
    deaths = [line for line in stack.said if "died" in line]
    assert [line.rsplit(" in ")[1] for line in deaths[:3]] == ["0.2 s", "0.4 s", "0.8 s"]
    assert "out of order" in deaths[0]


async def test_a_program_in_the_background_is_watched_by_the_pid_it_leaves(tmp_path: Path) -> None:
    pid_file = tmp_path / "its.pid"
    launcher = f"setsid sleep 600 > /dev/null 2>&1 & echo $! > {pid_file}; sleep 600"  # it waits longer than its program lives
    async with started(tmp_path, Process(name="node", command=("sh", "-c", launcher), own_pid_file=pid_file)) as stack:
        old = stack.pid("node")
        assert old == int(pid_file.read_text())
        os.kill(old, signal.SIGKILL)
        await stack.until(lambda: stack.pid("node") != old)
        new = stack.pid("node")
    assert not is_alive(new)


async def test_a_long_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.stack.supervisor.LOG_MAX_BYTES", 5)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "talker.log").write_text("of yesterday\n")
    async with started(tmp_path, Process(name="talker", command=("sh", "-c", "echo of today; sleep 600"))) as stack:
        await stack.until(lambda: (stack.log / "talker.log").read_text() == "of today\n")
    assert (stack.log / "talker.log.1").read_text() == "of yesterday\n"


ALONE = """
import asyncio, sys
from pathlib import Path
from deploy.stack.supervisor import Process, Supervisor
folder = Path(sys.argv[1])
asyncio.run(Supervisor([Process(name="child", command=("sleep", "600"))], run=folder / "run", log=folder / "log", say=print).run())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
async def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", ALONE, tmp_path])
    stack = Stack(tmp_path)
    await stack.until(lambda: stack.pid("child"))
    child = stack.pid("child")
    supervisor.kill()
    supervisor.wait()
    await stack.until(lambda: not is_alive(child))


@pytest.mark.skipif(not find_program("redis-server"), reason="needs redis-server")
async def test_the_real_redis_comes_back_on_the_same_port(tmp_path: Path) -> None:
    addresses = kept_addresses(tmp_path / "stack.json")
    redis = redis_process(REDIS, tmp_path / "redis", port=addresses.redis, password=addresses.password)
    async with started(tmp_path, redis) as stack:
        old = stack.pid("redis")
        os.kill(old, signal.SIGKILL)
        await stack.until(lambda: stack.pid("redis") not in (0, old) and redis.ready(stack.pid("redis")))


@pytest.mark.skipif(not find_program("initdb"), reason="needs PostgreSQL's programs")
async def test_the_real_postgres_keeps_its_data_over_a_kill_and_a_second_start(tmp_path: Path) -> None:
    addresses = kept_addresses(tmp_path / "stack.json")
    url = database_url(addresses.postgres, addresses.password)

    def postgres() -> Process:
        return postgres_process(POSTGRES, tmp_path / "postgres", port=addresses.postgres, password=addresses.password)

    tmp_path.parent.chmod(0o711)  # pytest's folders are closed to the user whom PostgreSQL runs as
    tmp_path.parent.parent.chmod(0o711)
    async with started(tmp_path, postgres()) as stack:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        old = stack.pid("postgres")
        os.kill(old, signal.SIGKILL)
        await stack.until(lambda: stack.pid("postgres") not in (0, old) and postgres().ready(0))
    async with started(tmp_path, postgres()):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)
