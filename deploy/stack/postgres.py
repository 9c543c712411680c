"""How does a PostgreSQL of its own come up in a folder? Its cluster is made once, reachable from this machine by password only."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from deploy.stack.programs import resolved
from deploy.stack.supervisor import Process, StackFailed
from deploy.stack.users import give_folder, identity_of, unprivileged_user

OWNER = DATABASE = "wenlu"


def postgres_process(command: tuple[str, ...], folder: Path, *, port: int, password: str) -> Process:
    """PostgreSQL over the cluster in `folder`, which is made where it is not there. `command` is extended by what is this machine's."""
    user = unprivileged_user()
    cluster = _make_cluster(folder, user=user, password=password)
    url = database_url(port, password)
    return Process(
        name="postgres",
        command=(
            *resolved(command),
            "-D",
            str(cluster),
            "-p",
            str(port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ),
        user=user,
        stop_signal=signal.SIGINT,  # "fast": ends sessions and writes a checkpoint; SIGTERM would wait for every client to leave
        grace_s=3,
        ready=lambda pid: _answers(url),
    )


def database_url(port: int, password: str) -> str:
    """What `QA_DATABASE_URL` is set to."""
    return f"postgres://{OWNER}:{password}@127.0.0.1:{port}/{DATABASE}"


def _make_cluster(folder: Path, *, user: str | None, password: str) -> Path:
    """The cluster's folder. A cluster counts only once it has its name: one that was cut short is made again."""
    give_folder(folder, user)
    cluster, half = folder / "cluster", folder / "cluster.new"
    if cluster.exists():
        return cluster
    shutil.rmtree(half, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", dir=folder) as password_file:
        password_file.write(password)
        password_file.flush()
        if user:
            shutil.chown(password_file.name, user=user)
        words = [
            "-D",
            str(half),
            "-U",
            OWNER,
            "--auth=scram-sha-256",
            f"--pwfile={password_file.name}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        _run(("initdb", *words), user=user)
    _run(("postgres", "--single", "-D", str(half), "postgres"), user=user, text=f"CREATE DATABASE {DATABASE}\n")
    return half.rename(cluster)


def _run(command: tuple[str, ...], *, user: str | None, text: str = "") -> None:
    """Runs one step in the making of a cluster. Raises StackFailed with what it said."""
    done = subprocess.run(resolved(command), input=text, text=True, capture_output=True, cwd="/", **identity_of(user))
    if done.returncode:
        raise StackFailed(f"{command[0]} failed (status {done.returncode}): {(done.stderr or done.stdout)[-1000:]}")


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
