"""What does an inference worker search? The vector indexes that it follows out of the database, beside its encoder.

Workers know no Django. The one that serves the role search gets its indexes through `core.protocols.VectorSearcher`, and this
module, named in `QA_WORKER_VECTORS`, sets Django up behind it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

from core.protocols import VectorSearcher

CHECKOUT = str(Path(__file__).resolve().parent.parent)


def followed_vectors() -> VectorSearcher:
    """The vector indexes of this process, followed from now on; those of bots' knowledge bases are up to date when it returns."""
    if CHECKOUT not in sys.path:  # the command `celery` takes its folder out once it has found the application
        sys.path.append(CHECKOUT)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")
    django.setup(set_prefix=False)
    from apps.retrieval.search.followed import FollowedVectors  # only now are there models to import

    return FollowedVectors()
