"""Whether this process is alive (`/healthz`), ready to answer (`/readyz`), and in numbers (`/metrics`)."""

from __future__ import annotations

from dataclasses import asdict

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from apps.retrieval.vectors.encoding import encoder
from apps.serving.health import workers_alive
from apps.serving.warmup import generator_warmup
from core.config import get_settings, is_remote
from core.errors import ModelUnavailable, QAError


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process serves requests at all."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 once the database answers; `checks` says what else works. Without an encoder it answers by words: ready, degraded.

    `workers` are the inference workers alive, where models run on workers. `generator` says whether this process's own is
    `loading`, `ok`, or `cold` (the first text loads it); `none` where there is none in this process.
    """
    database = _check_database()
    encoding, workers = _check_encoder()
    status = "unavailable" if database != "ok" else "ok" if encoding == "ok" else "degraded"
    body = {
        "status": status,
        "checks": {"database": database, "encoder": encoding, "generator": generator_warmup().state},
        "workers": workers,
    }
    return JsonResponse(body, status=503 if database != "ok" else 200)


def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of this process in Prometheus' text format."""
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return "ok"
    except DatabaseError:
        return "unreachable"


def _check_encoder() -> tuple[str, list[dict[str, object]]]:
    try:
        ready = bool(encoder().dim)
        workers = [asdict(worker) for worker in workers_alive()]
    except QAError as error:
        return error.code, []
    here = not is_remote(get_settings().encoder_backend)
    return "ok" if ready and (workers or here) else ModelUnavailable.code, workers
