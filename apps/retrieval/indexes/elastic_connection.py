"""How is Elasticsearch reached, and what do callers see while it is not? One client for a process, and errors in our words."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import elasticsearch
from elasticsearch import Elasticsearch, OrjsonSerializer

from apps.retrieval.indexes.breaker import CircuitBreaker
from core.config import Settings, get_settings
from core.errors import SearchUnavailable
from core.metrics import SEARCH_UNAVAILABLE

log = logging.getLogger(__name__)

PATIENT_TIMEOUT_S = 60.0
OVERLOADED = frozenset({429, 502, 503, 504})
TO_JUDGE = frozenset({404, 409})
EXISTS = "resource_already_exists_exception"

T = TypeVar("T")
Call = Callable[[Elasticsearch], T]


class ElasticConnection:
    """A client with a circuit breaker. `quick` waits `timeout_s` at most, `patient` longer; neither tries twice.

    Both raise SearchUnavailable where no node answers, it is overloaded, a shard is not up, or the credentials are refused;
    or it refuses for another reason; the message holds no address, no credentials and no text of a query. What is not there,
    is there already, or has changed meanwhile (`NotFoundError`, `ConflictError`, `EXISTS`) is the caller's to judge.
    """

    def __init__(self, client: Elasticsearch, *, prefix: str, timeout_s: float, breaker: CircuitBreaker | None = None) -> None:
        self.prefix = prefix
        self._quick_client = client.options(request_timeout=timeout_s)
        self._patient_client = client.options(request_timeout=PATIENT_TIMEOUT_S)
        self._breaker = breaker or CircuitBreaker()

    def quick(self, call: Call[T]) -> T:
        """What `call` gives; somebody waits for it."""
        return self._try(call, self._quick_client, patient=False)

    def patient(self, call: Call[T]) -> T:
        """What `call` gives, up to a minute: that a bulk request or a new index takes long says nothing about searches."""
        return self._try(call, self._patient_client, patient=True)

    def close(self) -> None:
        """Closes every connection."""
        self._quick_client.close()

    def _try(self, call: Call[T], client: Elasticsearch, *, patient: bool) -> T:
        if not self._breaker.admits():
            raise _unavailable("paused", "Elasticsearch did not answer lately and is left alone for a moment.")
        try:
            result = call(client)
        except elasticsearch.ConnectionTimeout as error:
            if not patient:
                self._failed("timeout")
            raise _unavailable("timeout", "Elasticsearch did not answer in time.") from error
        except elasticsearch.TransportError as error:
            self._failed(type(error).__name__)
            raise _unavailable("connection", f"Elasticsearch cannot be reached ({type(error).__name__}).") from error
        except elasticsearch.ApiError as error:
            self._succeeded()
            if error.status_code in OVERLOADED:
                raise _unavailable("overloaded", f"Elasticsearch cannot take this now ({error.status_code} {error.error}).") from error
            if error.status_code in (401, 403):
                message = (
                    "Elasticsearch refuses the credentials: check QA_ELASTICSEARCH_API_KEY, or user and password in QA_ELASTICSEARCH_URL."
                )
                raise _unavailable("refused", message) from error
            if error.status_code in TO_JUDGE or error.error == EXISTS:
                raise
            raise _unavailable(
                "refused", f"Elasticsearch refuses this ({error.status_code} {error.error}). {_limit(error)}".strip()
            ) from error
        self._succeeded()
        return result

    def _failed(self, reason: str) -> None:
        if self._breaker.failed():
            log.warning("elasticsearch is away, searches go on without it reason=%s", reason)

    def _succeeded(self) -> None:
        if self._breaker.succeeded():
            log.warning("elasticsearch answers again")


def _unavailable(reason: str, message: str) -> SearchUnavailable:
    SEARCH_UNAVAILABLE.labels(server="elasticsearch", reason=reason).inc()
    return SearchUnavailable(message, server="elasticsearch", reason=reason)


def _limit(error: elasticsearch.ApiError) -> str:
    """What a limit of the cluster says of itself, such as that on shards; other reasons may quote what was sent."""
    body = error.body if isinstance(error.body, dict) else {}
    return str(body["error"].get("reason", "")) if error.error == "validation_exception" else ""


def unavailable_item(error: object) -> SearchUnavailable:
    """What a part of a multiple answer failed with, as an error."""
    kind = error.get("type", "unknown") if isinstance(error, dict) else "unknown"
    return _unavailable("shard", f"Elasticsearch could not search an index ({kind}).")


def open_client(settings: Settings) -> Elasticsearch:
    """The official client for the nodes that the settings name; it connects on first use. A port that is left out is 80 or 443."""
    urls = [url.strip() for url in settings.elasticsearch_url.split(",") if url.strip()]
    ca = {"ca_certs": str(settings.elasticsearch_ca)} if settings.elasticsearch_ca else {}
    return Elasticsearch(
        urls,
        api_key=settings.elasticsearch_api_key or None,
        connections_per_node=settings.http_threads + 2,  # beside the threads that answer: the follower and a lease's heartbeat
        max_retries=0,
        retry_on_timeout=False,
        serializers={"application/vnd.elasticsearch+json": OrjsonSerializer()},
        **ca,  # type: ignore[arg-type]
    )


_lock = threading.Lock()
_shared: list[ElasticConnection] = []


def shared_connection() -> ElasticConnection:
    """The process's connection by its settings, made on first use."""
    with _lock:
        if not _shared:
            settings = get_settings()
            client = open_client(settings)
            _shared.append(ElasticConnection(client, prefix=settings.elasticsearch_prefix, timeout_s=settings.elasticsearch_timeout_s))
        return _shared[0]


def close_shared_connection() -> None:
    """Closes and forgets it; the next use opens another."""
    with _lock:
        while _shared:
            _shared.pop().close()
