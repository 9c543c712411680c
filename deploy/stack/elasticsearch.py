"""How does an Elasticsearch of its own come up in a folder, where this machine has one?"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deploy.stack.checks import http_ok
from deploy.stack.programs import find_program
from deploy.stack.supervisor import Process
from deploy.stack.users import give_folder, unprivileged_user

# A script that takes --port, --data and --heap, leaves a node running and its process id in DATA/pid. No QA_ name: no server reads it.
START_SCRIPT = "WENLU_ELASTICSEARCH_START"
HEAP = "512m"
# Java's second compiler takes what is ten times as hot as by default: one start took 4.8 seconds of CPU, two by default 7.7 and 7.9.
# What it costs searches until their code is hot was not measured.
_COMPILE_LATER = "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"


def elasticsearch_process(command: tuple[str, ...], folder: Path, *, port: int, checkout: Path) -> Process | None:
    """A node on `port` of this machine, by a start script or by the program in PATH; None where there is neither, or no Java."""
    script = _start_script(checkout)
    words: tuple[str, ...]
    if script and shutil.which("java") and shutil.which("curl"):
        words, pid_file, user = (str(script), "--port", str(port), "--data", str(folder), "--heap", HEAP), folder / "pid", None
    elif program := find_program(command[0]):
        user, pid_file = unprivileged_user(), folder / "pid"
        give_folder(folder, user)
        words = (program, *command[1:], "-d", "-p", str(pid_file), *(f"-E{word}" for word in _own_settings(folder, port)))
    else:
        return None
    return Process(
        name="elasticsearch",
        command=words,
        environment={"JDK_JAVA_OPTIONS": _COMPILE_LATER} if script else {"ES_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP} {_COMPILE_LATER}"},
        own_pid_file=pid_file,
        user=user,
        ready=lambda pid: http_ok(port, "/_cluster/health?wait_for_status=yellow&timeout=1s"),
        grace_s=7,
    )


def elasticsearch_url(port: int) -> str:
    """What `QA_ELASTICSEARCH_URL` is set to."""
    return f"http://127.0.0.1:{port}"


def _start_script(checkout: Path) -> Path | None:
    """The script that the environment names, or the one of a folder shared by neighbouring checkouts."""
    named = os.environ.get(START_SCRIPT)
    script = Path(named) if named else checkout.parent / "shared" / "elasticsearch" / "start"
    return script if script.is_file() else None


def _own_settings(folder: Path, port: int) -> tuple[str, ...]:
    return (
        f"path.data={folder / 'data'}",
        f"path.logs={folder / 'logs'}",
        "network.host=127.0.0.1",
        f"http.port={port}",
        f"transport.port={port + 100}",
    )
