"""`python -m deploy.stack` (`make stack`): the whole of Wenlu on one machine without Docker, in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.config import get_settings
from core.errors import ConfigurationError
from deploy.stack.addresses import becomes_free, kept_addresses
from deploy.stack.programs import ProgramMissing, require_programs
from deploy.stack.supervisor import Process, StackFailed, Supervisor
from deploy.stack.topology import WEBS, stack_processes
from deploy.stack.users import FolderClosed

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Brings what is missing, starts everything and keeps it alive. Exit status 0 when it was asked to end."""
    os.chdir(CHECKOUT)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        data = get_settings().data_dir.resolve()
        with only_stack_of(data):
            require_programs(say)
            refuse_taken_ports()
            processes, settings = stack_processes(data, kept_addresses(data / "stack.json"), checkout=CHECKOUT, port=get_settings().port)
            write_settings(data / "stack.env", settings)
            if "QA_ELASTICSEARCH_URL" not in settings:
                say("elasticsearch is left out: this machine has none; searches use the embedded indexes")
            asyncio.run(run_stack(processes, data))
    except KeyboardInterrupt:
        sys.exit(0)
    except (ConfigurationError, ProgramMissing, FolderClosed, StackFailed) as error:
        sys.exit(f"stack: {error}")


async def run_stack(processes: Sequence[Process], data: Path) -> None:
    """Runs the stack of this data folder until a signal asks it to end."""
    supervisor = Supervisor(processes, run=data / "run", log=data / "log", say=say)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)  # again during the end: no effect
    greeting = asyncio.ensure_future(greet(supervisor, get_settings().port, data))
    try:
        await supervisor.run()
    finally:
        greeting.cancel()
        say("everything has ended")


async def greet(supervisor: Supervisor, port: int, data: Path) -> None:
    """Says where everything is, once it is."""
    await supervisor.ready()
    addresses = " and ".join(f"http://127.0.0.1:{port + place}/" for place in range(len(WEBS)))
    say(f"问路 Wenlu answers at {addresses}; settings for manage.py: {data / 'stack.env'}; logs: {data / 'log'}; Ctrl-C ends it")


@contextmanager
def only_stack_of(data: Path) -> Iterator[None]:
    """Holds the data folder against a second stack. Raises ConfigurationError where there is one already."""
    (data / "run").mkdir(parents=True, exist_ok=True)
    with (data / "run" / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"A stack runs already with the data folder {data}. Choose another with QA_DATA_DIR.") from None
        yield


def refuse_taken_ports() -> None:
    """Raises ConfigurationError before minutes go into anything, where a web process could not listen."""
    qa = get_settings()
    for port in range(qa.port, qa.port + len(WEBS)):
        if not becomes_free(port, qa.host):
            raise ConfigurationError(f"Port {port} is taken. The stack needs QA_PORT and the port after it: choose another QA_PORT.")


def write_settings(file: Path, settings: Mapping[str, str]) -> None:
    """NAME=VALUE lines, for the owner only: they hold passwords."""
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def say(line: str) -> None:
    """One line of status."""
    print(f"stack: {line}", flush=True)


if __name__ == "__main__":
    main()
