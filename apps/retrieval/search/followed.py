"""Which vectors does an inference worker search? Those of every knowledge base that is asked, followed by the outbox in the worker itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, close_old_connections

from apps.retrieval.indexes.registry import IndexPart, close_indexes
from apps.retrieval.outbox.checking import IndexChecker
from apps.retrieval.outbox.follower import IndexFollower
from apps.retrieval.outbox.warmup import warm_up
from apps.retrieval.search.nearest import follow_search, search_followed, wanted_revisions
from core.errors import SearchUnavailable
from core.types import FloatArray, Hit, VectorSearch

FOLLOWING_S = 2.0
FOLLOWING_THREADS = 8


class FollowedVectors:
    """VectorSearcher over vector indexes that this process follows; words are left to the web processes.

    A search whose revision is not there yet has it followed first, and waits `FOLLOWING_S` for it at most: then it says that
    the index is behind, and the following goes on. So a knowledge base that takes a minute keeps no other waiting.
    """

    def __init__(self) -> None:
        self._follower = IndexFollower([IndexPart.VECTORS])
        self._threads = ThreadPoolExecutor(FOLLOWING_THREADS, thread_name_prefix="follow-asked")
        self._checker = IndexChecker(lambda: self._follower)
        warm_up(self._follower)
        self._follower.watch()
        self._checker.watch()

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
        """For each row up to `k` hits. Raises IndexMismatch, SearchUnavailable."""
        if not all(self._follower.has_followed(kb_id, revision, search.kind) for kb_id, revision in wanted_revisions(search)):
            self._wait_for(search)
        return search_followed(self._follower, vectors, encoder, search)

    def close(self) -> None:
        """Ends the following and saves what has changed since the last snapshot."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._checker.close()
        self._follower.close()
        close_indexes()

    def _wait_for(self, search: VectorSearch) -> None:
        following = self._threads.submit(self._follow, search)
        try:
            has_come = following.result(FOLLOWING_S)
        except TimeoutError:
            has_come = False
            following.cancel()
        except DatabaseError as error:
            raise SearchUnavailable("The inference worker cannot reach the database.", reason="database") from error
        if not has_come:
            raise SearchUnavailable("The index is still following the database.", reason=SearchUnavailable.BEHIND)

    def _follow(self, search: VectorSearch) -> bool:
        try:
            return follow_search(self._follower, search, wait_s=FOLLOWING_S)
        finally:
            close_old_connections()
