"""Which indexes are opened before the first question: those of the knowledge bases that bots use."""

from __future__ import annotations

import logging
from itertools import product

from django.db import DatabaseError, close_old_connections

from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import IndexFollower, follower
from core.errors import QAError
from core.types import EntryKind

log = logging.getLogger(__name__)

MAX_BASES = 64


def warm_up(keeping: IndexFollower | None = None) -> None:
    """Brings what the follower (None: this process's) keeps of bots' knowledge bases up to date; what cannot be opened is logged and left to its first search.

    A server answers by what it finds: what is to be built anew does not delay its start.
    """
    try:
        keeping = keeping or follower()
        keeping.renew_in_background()
        bases = list(KnowledgeBase.objects.filter(bots__isnull=False).distinct().values_list("pk", "revision")[:MAX_BASES])
        for kind, (kb_id, revision) in product(EntryKind, bases):  # the FAQs of all before the passages of one
            try:
                keeping.follow(kb_id, revision, kind)
            except QAError as error:
                log.error("index not opened kb=%s kind=%s error=%s %s", kb_id, kind, error.code, error.message)
    except DatabaseError:
        log.exception("database not ready")
    finally:
        close_old_connections()
