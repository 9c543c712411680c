"""A worker that encodes and searches, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.indexing import put_entries
from apps.retrieval.search.nearest import encode_question, nearest_to, vector_search
from apps.retrieval.selectors import scope_of
from apps.retrieval.vectors.encoding import encode_texts
from core.types import EntryKind
from tests.inference_workers import ROOT, WorkerProcess, database_url, start_worker
from workers.dispatch import shared_dispatcher

FAQ = EntryKind.FAQ
LEAVE, MEALS, PARKING = "how many days of leave", "what does a meal cost", "where can I park"
REMOTE = {"encoder_backend": "workers.remote.RemoteEncoder", "nearest_search": "workers.remote_search.RemoteNearest"}


@contextmanager
def search_worker(url: str, encoder: Path, data: Path, **environ: str) -> Iterator[WorkerProcess]:
    """A worker on the tests' database that is ready, with indexes of its own in `data`."""
    settings = {"QA_ENCODER": str(encoder), "QA_WORKER_ROLES": "encoder,search", "QA_DATA_DIR": str(data)}
    if "tests." in environ.get("QA_WORKER_VECTORS", ""):
        settings["PYTHONPATH"] = str(ROOT)  # the command `celery` finds the application alone
    with start_worker(url, {**settings, "QA_DATABASE_URL": database_url(), **environ}) as worker:
        worker.wait_until_alive()
        yield worker


def become_web_process(configure: Callable[..., None], url: str, **more: object) -> None:
    """This process has questions encoded and searched by the workers of this Redis; what an earlier test left connected to another is closed."""
    configure(redis_url=url, **REMOTE, **more)
    shared_dispatcher().close()


def put(kb: KnowledgeBase, **texts: str) -> None:
    """Makes texts findable, `n7="text"` under the id 7."""
    rows = [(int(name[1:]), text) for name, text in texts.items()]
    put_entries(kb, FAQ, rows, encode_texts((FAQ, text) for _, text in rows))


def found(kb: KnowledgeBase, text: str, k: int = 1) -> list[int]:
    """What a question finds by its vector, best first."""
    search = vector_search(FAQ, scope_of([kb]), k)
    return [hit.id for hit in nearest_to(encode_question(text, [search]), search)]


def kept_here() -> bool:
    """Whether this process has vectors in memory."""
    indexes = [index for kind in EntryKind for index in indexes_for(kind).vector._made_by.values()]  # type: ignore[attr-defined]
    return any(kb.view is not None for index in indexes for kb in index._kbs.values())
