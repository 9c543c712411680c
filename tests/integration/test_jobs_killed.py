"""Whatever step a process is killed at, the next one loses nothing, doubles nothing, and counts each source once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.killed_jobs import DOUBLED, ROWS

ROOT = Path(__file__).resolve().parents[2]


def test_a_job_survives_a_kill_at_every_step(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QA_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_jobs", str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 10
    for one in told:
        assert (one["killed"], one["status"]) == (-signal.SIGKILL, 0), one
        assert one["found"] == {
            "job": ["done", True, ""],
            "counts": [ROWS, 0, 0, DOUBLED],
            "report": [ROWS, 0, 0, DOUBLED, DOUBLED, True],
            "rows": [ROWS] * 4,
            "drift": 0,
            "files": 0,
        }, one["step"]


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
