"""Does the server bound what native libraries keep?"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY", "OPENBLAS_NUM_THREADS")


@pytest.mark.parametrize("entrance", ["qa_project.celery", "manage"])
def test_every_entrance_bounds_what_native_libraries_keep_unless_the_operator_did(entrance: str) -> None:
    script = f"import {entrance}, os; print(*(os.environ[name] for name in {NAMES!r}))"
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment |= {"QA_REDIS_URL": "redis://127.0.0.1:1/0", "LRU_CACHE_CAPACITY": "99"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["512", "99", "1"]
