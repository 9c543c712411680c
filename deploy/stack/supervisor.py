"""How do programs that need each other start in order, stay alive and end cleanly? One supervisor, no framework.

A process starts when everything it needs is ready. Whatever dies, by itself or by `kill -9`, is started again: at once the first
time, then after a pause that doubles. At the end each process is asked to leave after those that need it have left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Protocol

from deploy.stack.users import identity_of

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STEADY_S = 10.0  # a process that lived this long starts again at once when it dies
READY_POLL_S = 0.1
LOG_MAX_BYTES = 10 * 2**20


class StackFailed(Exception):
    """A step that everything waits for did not succeed. The message says which, and the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One program to keep alive.

    `ready` is called with the process id, in a thread, until it is true; it should return within two seconds. A process with `once` runs to its end before
    what needs it starts. A process waits for those in `after` when it first starts, without needing them. A program that puts itself into the background names in `own_pid_file` where it leaves its process id.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ready: Callable[[int], bool] = lambda pid: True
    once: bool = False
    own_pid_file: Path | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 7.0


class Running(Protocol):
    """A live program, child or not."""

    pid: int

    async def wait(self) -> int | None: ...


class Supervisor:
    """Keeps `processes` alive from `run` to `stop`. Writes `run/NAME.pid` and `log/NAME.log`, and says one line for each event."""

    def __init__(self, processes: Sequence[Process], *, run: Path, log: Path, say: Callable[[str], None]) -> None:
        self._keepers = {process.name: _Keeper(process, self) for process in processes}
        self.run_folder, self.log_folder, self.say = run, log, say
        self.stopping = asyncio.Event()
        for folder in (run, log):
            folder.mkdir(parents=True, exist_ok=True)

    async def run(self) -> None:
        """Returns when everything has ended. Raises StackFailed where a `once` process failed."""
        outcomes = await asyncio.gather(*(keeper.keep() for keeper in self._keepers.values()), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def ready(self) -> None:
        """Returns when every process has been ready once."""
        for keeper in self._keepers.values():
            await keeper.ready.wait()

    def stop(self) -> None:
        """Begins the end: `run` returns once every process has left. May be called again without effect."""
        self.stopping.set()

    def needed_by(self, name: str) -> list[_Keeper]:
        """The processes that cannot do without `name`: they end before it."""
        return [keeper for keeper in self._keepers.values() if name in keeper.process.needs]

    def before(self, process: Process) -> list[_Keeper]:
        """The processes that must be ready before `process` first starts."""
        return [self._keepers[name] for name in (*process.needs, *process.after)]


class _Keeper:
    """One process through all its lives."""

    def __init__(self, process: Process, supervisor: Supervisor) -> None:
        self.process, self._supervisor = process, supervisor
        self.ready, self.gone = asyncio.Event(), asyncio.Event()

    async def keep(self) -> None:
        """Starts it, and starts it again whenever it dies, until the supervisor stops."""
        stopping, pause = self._supervisor.stopping, FIRST_PAUSE_S
        try:
            await _first(stopping.wait(), self._may_start())
            while not stopping.is_set():
                began = monotonic()
                status = await self._live()
                if stopping.is_set() or self._has_done(status):
                    return
                pause = FIRST_PAUSE_S if monotonic() - began > STEADY_S else pause
                self._supervisor.say(f"{self.process.name} died ({_in_words(status)}): {self._last_words()}; starts again in {pause:.1f} s")
                await _first(stopping.wait(), asyncio.sleep(pause))
                pause = min(2 * pause, LONGEST_PAUSE_S)
        except BaseException:
            stopping.set()
            raise
        finally:
            self.gone.set()

    async def _may_start(self) -> None:
        for other in self._supervisor.before(self.process):
            await other.ready.wait()

    def _has_done(self, status: int | None) -> bool:
        """Whether a `once` process has done its work. Raises StackFailed where it could not."""
        if self.process.once and status != 0:
            raise StackFailed(f"{self.process.name} failed ({_in_words(status)}); the end of {self._log_path}:\n{self._last_words(20)}")
        if self.process.once:
            self.ready.set()
        return self.process.once

    async def _live(self) -> int | None:
        """One life, from start to death. Returns the exit status, None where it cannot be known."""
        began = monotonic()
        with self._open_log() as log:
            running = await _start(self.process, log, self._supervisor.stopping)
        if running is None:
            return None
        if not self.process.once:
            self._write_pid(running.pid)
        death = asyncio.ensure_future(running.wait())
        watch = asyncio.ensure_future(self._announce_when_ready(running.pid, began))
        try:
            await _first(self._supervisor.stopping.wait(), asyncio.shield(death))
            if self._supervisor.stopping.is_set():
                await self._end(running.pid, death)
            return await death
        finally:
            watch.cancel()

    async def _announce_when_ready(self, pid: int, began: float) -> None:
        if self.process.once:
            return
        while not await asyncio.to_thread(self.process.ready, pid):
            await asyncio.sleep(READY_POLL_S)
        self.ready.set()
        self._supervisor.say(f"{self.process.name} is ready after {monotonic() - began:.1f} s, pid {pid}")

    async def _end(self, pid: int, death: asyncio.Future[int | None]) -> None:
        """Asks it to leave once those that need it have left; kills it where it does not leave within its grace."""
        for keeper in self._supervisor.needed_by(self.process.name):
            await keeper.gone.wait()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, self.process.stop_signal)
        if not (await asyncio.wait({death}, timeout=self.process.grace_s))[0]:
            self._supervisor.say(f"{self.process.name} did not end within {self.process.grace_s:.0f} s and is killed")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await asyncio.wait({death})
        self._pid_path.unlink(missing_ok=True)

    @property
    def _pid_path(self) -> Path:
        return self._supervisor.run_folder / f"{self.process.name}.pid"

    @property
    def _log_path(self) -> Path:
        return self._supervisor.log_folder / f"{self.process.name}.log"

    def _write_pid(self, pid: int) -> None:
        """Replaces the file in one step, so that a reader finds the old pid or the new one, never half of one."""
        new = self._pid_path.with_suffix(".new")
        new.write_text(f"{pid}\n")
        new.replace(self._pid_path)

    def _open_log(self) -> BinaryIO:
        """The log to append to; what was there is put aside once it is long."""
        path = self._log_path
        if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _last_words(self, lines: int = 1) -> str:
        """The last lines of the log that are not blank."""
        with self._log_path.open("rb") as log:
            log.seek(max(0, self._log_path.stat().st_size - 2**14))
            text = log.read().decode(errors="replace")
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:]) or "its log is empty"


class _Child:
    """A child of the supervisor, in a session of its own: signals to the supervisor's group do not reach it."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child, self.pid = child, child.pid

    async def wait(self) -> int | None:
        status = await self._child.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # what a killed parent left behind
            os.killpg(self.pid, signal.SIGKILL)
        return status


class _Daemon:
    """A program that went into the background: no child of ours, so its exit status stays unknown."""

    def __init__(self, pid: int, launcher: asyncio.subprocess.Process) -> None:
        self.pid, self._launcher = pid, launcher

    async def wait(self) -> int | None:
        while is_alive(self.pid):
            await asyncio.sleep(READY_POLL_S)
        await _ended(self._launcher)
        return None


async def _start(process: Process, log: BinaryIO, stopping: asyncio.Event) -> Running | None:
    """The running program; None where one that should go into the background did not."""
    child = await asyncio.create_subprocess_exec(
        *_tied_to_us(process),
        env={**os.environ, **process.environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        **identity_of(process.user),
    )
    return _Child(child) if process.own_pid_file is None else await _gone_to_background(child, process.own_pid_file, stopping)


async def _gone_to_background(launcher: asyncio.subprocess.Process, pid_file: Path, stopping: asyncio.Event) -> _Daemon | None:
    """The program that `launcher` leaves running, as soon as its pid is there: the launcher itself may wait until it answers."""
    while True:
        over = launcher.returncode is not None or stopping.is_set()
        pid = int(pid_file.read_text().strip() or 0) if pid_file.exists() else 0
        if pid and is_alive(pid):
            return _Daemon(pid, launcher)
        if over:
            await _ended(launcher)
            return None
        await asyncio.sleep(READY_POLL_S)


async def _ended(launcher: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        launcher.kill()
    await launcher.wait()


def _tied_to_us(process: Process) -> tuple[str, ...]:
    """The command, made to get its stop signal when the supervisor itself is killed. Linux only; elsewhere it would live on."""
    if sys.platform != "linux" or not shutil.which("setpriv"):
        return process.command
    return ("setpriv", "--pdeathsig", process.stop_signal.name.removeprefix("SIG"), "--", *process.command)


def is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie, which an init that does not reap leaves behind, does not."""
    try:
        if sys.platform == "linux":
            return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
        os.kill(pid, 0)
    except (OSError, IndexError):
        return False
    return True


def _in_words(status: int | None) -> str:
    if status is None:
        return "status unknown"
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


async def _first(*waits: Awaitable[object]) -> None:
    """Returns when one of `waits` has ended, and gives up the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
