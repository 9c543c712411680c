"""Which environment tests run in: a data folder of their own, whatever the shell says.

Loaded with `-p` (pyproject.toml), before pytest-django reads the settings. In conftest.py it would come too late for the
processes of pytest-xdist, which inherit DJANGO_SETTINGS_MODULE and would all share the first process's folder.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_DATA_DIR = tempfile.mkdtemp(prefix="wenlu-tests-")
atexit.register(shutil.rmtree, _DATA_DIR, ignore_errors=True)
if real_model_dir := os.environ.pop("QA_MODEL_DIR", ""):
    os.environ["WENLU_TEST_MODEL_DIR"] = real_model_dir
for _name in [name for name in os.environ if name.startswith("QA_")]:
    del os.environ[_name]
os.environ.update(DJANGO_SETTINGS_MODULE="qa_project.settings", QA_DATA_DIR=_DATA_DIR, QA_LANGUAGE="en", QA_REMEMBER_S="0")
if os.environ.get("WENLU_TEST_STACK"):  # on PostgreSQL and Redis instead of SQLite and memory; .ci/run does both
    os.environ.update(QA_DATABASE_URL=os.environ["WENLU_TEST_DATABASE_URL"], QA_REDIS_URL=os.environ["WENLU_TEST_REDIS_URL"])
