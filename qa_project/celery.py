"""The Celery application of the inference workers: `celery -A qa_project.celery` and what `workers.broker.worker_arguments` adds.

It needs no Django: a worker knows models and Redis, and no database; the role search alone brings both with it (`QA_WORKER_VECTORS`).
"""

from __future__ import annotations

import core.native  # before anything imports numpy
from core.backends import load_object
from core.config import get_settings
from core.errors import ConfigurationError

core.native.share_arenas()
if not get_settings().redis_url:
    raise ConfigurationError("Inference workers need QA_REDIS_URL: web processes reach them through Redis.")

app = load_object("workers.broker.make_app")(get_settings())
app.set_default()
app.conf.include = ["workers.tasks"]
