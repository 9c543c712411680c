"""One way there and back for a question: inference workers encode it and search their vector indexes with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from core.backends import get_backend
from core.config import get_settings
from core.errors import ConfigurationError, DeadlineExceeded, ModelUnavailable, Overloaded, QAError, SearchUnavailable
from core.protocols import Encoder
from core.types import EncodedQuery, FloatArray, Hit, Priority, VectorSearch
from workers.broker import SEARCH
from workers.dispatch import Dispatcher, result_of, shared_dispatcher
from workers.remote import RemoteEncoder
from workers.search_wire import Found, SearchBody, found_from_dict, search_as_dict

UNSERVED_S = 5.0
BEHIND_PAUSE_S = 0.05


class RemoteNearest:
    """The encoder and the vector indexes of the inference workers; implements `core.protocols.NearestSearch`.

    Where no worker serves the role search, questions go to those that serve the encoder alone, and `search` refuses; this is
    found out again every `UNSERVED_S`. Questions that were asked before are searched by the vector that is remembered.
    """

    def __init__(self, dispatcher: Dispatcher | None = None, encoder: RemoteEncoder | None = None) -> None:
        settings = get_settings()
        self._timeout_s = settings.remote_timeout_s
        self._dispatcher = dispatcher or shared_dispatcher()
        self._encoder = encoder or _shared_encoder(settings.encoder_backend)
        self._lock = threading.Lock()
        self._unserved_until = 0.0

    def close(self) -> None:
        """Ends the process's connection to the workers; who waits gets ModelUnavailable."""
        self._dispatcher.close()

    def encode(self, text: str, searches: Sequence[VectorSearch]) -> EncodedQuery:
        """One question with its token vectors; in `near` those searches that the worker could do. Raises as `RemoteEncoder`."""
        began = time.perf_counter()
        known = self._encoder.remembered(text)
        if not searches or self._is_unserved():
            return known or self._encoder.encode_query(text)
        body = _by_text(text, searches) if known is None else _by_vector(known.vector[None], known.encoder, searches)
        try:
            found = self._ask(body, self._timeout_s)
        except ModelUnavailable:
            return known or self._encoder.encode_query(text)
        except (Overloaded, DeadlineExceeded):
            if known is None:
                raise
            return known
        near = {search: tuple(hits[0]) for search, hits in zip(searches, found.hits, strict=True) if isinstance(hits, list)}
        if known is None:
            assert found.encoded is not None
            known = self._encoder.remember(text, found.encoded)
        milliseconds = (time.perf_counter() - began) * 1000
        return EncodedQuery(
            encoder=known.encoder, vector=known.vector, token_vectors=known.token_vectors, encode_ms=milliseconds, near=near
        )

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
        """For each row up to `k` hits. A worker that is still following is asked again until the time is over.

        Raises IndexMismatch, SearchUnavailable; its `details.reason` is `unserved`, `behind` or the error's code.
        """
        if self._is_unserved():
            raise SearchUnavailable("No inference worker searches vectors.", reason="unserved")
        body, deadline = _by_vector(vectors, encoder, [search]), time.monotonic() + self._timeout_s
        behind: QAError | None = None
        while True:
            try:
                (hits,) = self._ask(body, deadline - time.monotonic()).hits
            except (ModelUnavailable, Overloaded, DeadlineExceeded) as error:
                if behind is not None and isinstance(error, DeadlineExceeded):
                    raise behind from error
                raise SearchUnavailable(error.message, reason=error.code) from error
            if isinstance(hits, list):
                return hits
            if hits.details.get("reason") != SearchUnavailable.BEHIND or time.monotonic() + BEHIND_PAUSE_S >= deadline:
                raise hits
            behind = hits  # what to say where the time ends while it is asked once more
            time.sleep(BEHIND_PAUSE_S)

    def _ask(self, body: SearchBody, timeout_s: float) -> Found:
        try:
            future = self._dispatcher.submit(SEARCH, search_as_dict(body), priority=Priority.LIVE, timeout_s=timeout_s)
            return found_from_dict(result_of(future, timeout_s))
        except ModelUnavailable:
            with self._lock:
                self._unserved_until = time.monotonic() + UNSERVED_S
            raise

    def _is_unserved(self) -> bool:
        return time.monotonic() < self._unserved_until


def _by_text(text: str, searches: Sequence[VectorSearch]) -> SearchBody:
    return SearchBody(searches=tuple(searches), text=text)


def _by_vector(vectors: FloatArray, encoder: str, searches: Sequence[VectorSearch]) -> SearchBody:
    return SearchBody(searches=tuple(searches), vectors=vectors, encoder=encoder)


def _shared_encoder(path: str) -> RemoteEncoder:
    """The process's encoder, so that both remember the same questions."""
    encoder = get_backend(path, Encoder)  # type: ignore[type-abstract]
    if not isinstance(encoder, RemoteEncoder):
        raise ConfigurationError("QA_NEAREST_SEARCH names inference workers: QA_ENCODER_BACKEND must be workers.remote.RemoteEncoder.")
    return encoder
