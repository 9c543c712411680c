"""How does a worker search with what it has just encoded? The vector indexes lie beside the encoder in this process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from core.backends import load_object
from core.config import Settings
from core.errors import Cancelled, DeadlineExceeded, ModelUnavailable, QAError, SearchUnavailable
from core.protocols import VectorSearcher
from core.types import FloatArray, Hit, JSONDict, Priority, Role, VectorSearch
from workers.broker import SEARCH
from workers.encoder import Encoded
from workers.local import LocalEncoder
from workers.pending import Pending
from workers.search_wire import Found, SearchBody, found_as_dict, search_from_dict
from workers.wire import Vectors

log = logging.getLogger(__name__)

Searched = tuple[list[list[Hit]] | QAError, ...]


class SearchService:
    """Questions become vectors, and vectors hits; `QA_WORKER_VECTORS` makes what searches.

    Searches run in threads of their own, each as soon as its question is encoded. One whose index has not followed far
    enough waits there for it, and nothing else waits with it.
    """

    role = SEARCH

    def __init__(self, encoder: LocalEncoder, settings: Settings) -> None:
        self.model = encoder
        self._path = settings.worker_vectors
        self._threads = ThreadPoolExecutor(settings.worker_concurrency, thread_name_prefix="search")
        self._vectors: VectorSearcher | None = None

    def load(self) -> None:
        """Loads the encoder and opens the indexes of every knowledge base that is asked."""
        self.model.load()
        self._vectors = load_object(self._path)()

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        close = getattr(self._vectors, "close", None)
        if close is not None:
            close()
        self.model.close()

    def begin(self, body: Mapping[str, Any], *, priority: Priority, deadline: float, cancel: threading.Event) -> Pending[JSONDict]:
        asked = search_from_dict(body)
        if asked.vectors is not None:
            given = _Searching(self._vectors, asked, deadline, cancel)
            self._run_aside(given, asked.vectors, asked.encoder)
            return Pending(lambda: found_as_dict(Found(hits=given.found.result())), [given.found])
        (encoding,) = self.model.submit(
            [asked.text or ""], Role.QUERY, wants_tokens=True, priority=priority, deadline=deadline, cancel=cancel
        )
        searching = _Searching(self._vectors, asked, deadline, cancel)
        encoding.add_done_callback(lambda done: self._go_on(searching, done))

        def reply() -> JSONDict:
            encoded = encoding.result()
            searching.run(encoded.vector[None], self.model.model_id)  # a lonely call's thread waits here: it need not wake another
            return found_as_dict(Found(hits=searching.found.result(), encoded=self._vectors_of(encoded)))

        return Pending(reply, [searching.found])

    def _vectors_of(self, encoded: Encoded) -> Vectors:
        tokens = None if encoded.token_vectors is None else (encoded.token_vectors,)
        return Vectors(model_id=self.model.model_id, vectors=encoded.vector[None], token_vectors=tokens)

    def _go_on(self, searching: _Searching, encoding: Future[Encoded]) -> None:
        """From the encoder's thread: what it could not encode is not searched for."""
        if encoding.cancelled():
            searching.give_up(Cancelled("The work was cancelled before the model began it."))
        elif (error := encoding.exception()) is not None:
            searching.give_up(error)
        else:
            self._run_aside(searching, encoding.result().vector[None], self.model.model_id)

    def _run_aside(self, searching: _Searching, vectors: FloatArray, encoder: str) -> None:
        try:
            self._threads.submit(searching.run, vectors, encoder)
        except RuntimeError:
            searching.give_up(ModelUnavailable("This worker is shutting down."))


class _Searching:
    """The searches of one call: `run` by whichever thread comes first, `found` once they are done."""

    def __init__(self, vectors: VectorSearcher | None, asked: SearchBody, deadline: float, cancel: threading.Event) -> None:
        self._vectors = vectors
        self._asked = asked
        self._deadline = deadline
        self._cancel = cancel
        self._begun = threading.Lock()
        self.found: Future[Searched] = Future()

    def run(self, vectors: FloatArray, encoder: str) -> None:
        """Does all of them, unless another thread has begun."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            self.found.set_result(tuple(self._search(vectors, encoder, search) for search in self._asked.searches))
        except BaseException as error:
            self.found.set_exception(error)
            raise

    def give_up(self, error: BaseException) -> None:
        """Nobody will search."""
        if self._begun.acquire(blocking=False):
            self.found.set_exception(error)

    def _search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]] | QAError:
        """The hits, or why there are none: an index that cannot be asked takes nothing from the others, nor from the encoding."""
        if self._cancel.is_set():
            return Cancelled("Nobody waits for this any more.")
        if time.monotonic() >= self._deadline:
            return DeadlineExceeded("The deadline was over before this was searched for.")
        if self._vectors is None:
            return SearchUnavailable("This worker has not opened its indexes.", reason="closed")
        try:
            return self._vectors.search(vectors, encoder, search)
        except QAError as error:
            return error
        except Exception as error:
            log.exception("search broke kind=%s", search.kind)
            return SearchUnavailable(
                f"The inference worker's index failed: {type(error).__name__}; its log has the trace.", reason="failed"
            )
