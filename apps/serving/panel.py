"""The panel's page of models: what runs where, how much waits, how fast it answers. It renews itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.panel import caller_of
from apps.accounts.permissions import Permission
from apps.serving.models_here import ModelsOverview, read_overview
from core.worker_registry import WorkerRecord

REFRESH_S = 3
ROLE_NAMES = {
    "encoder": gettext_lazy("Encoder"),
    "reranker": gettext_lazy("Reranker"),
    "tagger": gettext_lazy("Tagger"),
    "generator": gettext_lazy("Generator"),
    "search": gettext_lazy("Search by vectors"),
}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A line of a table: one model."""

    role: str
    model: str
    waiting: int
    mean_batch: float
    p95_ms: float | None
    texts: int


@dataclass(frozen=True, slots=True)
class WorkerCard:
    """One worker; `age_s` is how long ago it was heard of."""

    record: WorkerRecord
    models: list[ModelRow]
    age_s: int
    up_minutes: int


def may_see_models(request: HttpRequest) -> bool:
    """Whether the reader manages the whole installation."""
    return caller_of(request).may(Permission.MANAGE)


def models_page(request: HttpRequest) -> HttpResponse:
    """The page; with `?part=1` only what changes, for the page that renews itself."""
    if not may_see_models(request):
        raise PermissionDenied
    context = {"refresh_ms": REFRESH_S * 1000, **_shown(read_overview())}
    if "part" in request.GET:
        return render(request, "admin/serving/models_part.html", context)
    return render(request, "admin/serving/models.html", {**admin.site.each_context(request), "title": _("Models and workers"), **context})


def _shown(overview: ModelsOverview) -> dict[str, Any]:
    local = [
        ModelRow(_role(one.role), one.name or _default_of(one.role), one.waiting, one.mean_batch, None, one.texts) for one in overview.local
    ]
    return {
        "local": local,
        "remote_roles": [_role(role) for role in overview.remote_roles],
        "workers": [_card(worker, overview.read_at) for worker in overview.workers],
        "unreachable": overview.unreachable,
    }


def _card(worker: WorkerRecord, now: float) -> WorkerCard:
    models = [ModelRow(_role(one.role), one.model_id, one.waiting, one.mean_batch, one.p95_ms, one.texts) for one in worker.models]
    return WorkerCard(worker, models, max(0, round(now - worker.heartbeat_at)), max(0, int((now - worker.started_at) / 60)))


def _role(role: str) -> str:
    return str(ROLE_NAMES.get(role, role))


def _default_of(role: str) -> str:
    return _("the encoder's token vectors") if role == "reranker" else "–"
