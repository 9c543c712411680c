"""Which indexes are opened before the first question: those of the knowledge bases that bots use."""

from __future__ import annotations

import logging

from django.db import DatabaseError, close_old_connections

from apps.retrieval.follower import follower
from apps.retrieval.models import KnowledgeBase
from core.errors import QAError

log = logging.getLogger(__name__)

MAX_BASES = 64


def warm_up() -> None:
    """Brings the indexes of bots' knowledge bases up to date; what cannot be opened is logged and left to its first search."""
    try:
        for kb_id, revision in KnowledgeBase.objects.filter(bots__isnull=False).distinct().values_list("pk", "revision")[:MAX_BASES]:
            try:
                follower().follow(kb_id, revision)
            except QAError as error:
                log.error("index not opened kb=%s error=%s %s", kb_id, error.code, error.message)
    except DatabaseError:
        log.exception("database not ready")
    finally:
        close_old_connections()
