"""Which models run where: those of this web process, and those of the inference workers that it asks."""

from __future__ import annotations

import time
from dataclasses import dataclass

from prometheus_client import REGISTRY

from apps.serving.health import workers_alive
from core.config import Settings, get_settings, is_remote
from core.errors import ModelUnavailable
from core.worker_registry import WorkerRecord

ROLES = ("encoder", "reranker", "tagger", "generator")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model of this process. `name` is the setting's; figures count since the start, `waiting` now."""

    role: str
    name: str
    waiting: int
    batches: int
    texts: int

    @property
    def mean_batch(self) -> float:
        """Texts a forward pass; 0 before the first."""
        return self.texts / self.batches if self.batches else 0.0


@dataclass(frozen=True, slots=True)
class ModelsOverview:
    """What the page of models shows. `unreachable` says that Redis does not answer, so nobody knows of any worker."""

    local: list[LocalModel]
    remote_roles: list[str]
    workers: list[WorkerRecord]
    unreachable: bool
    read_at: float


def read_overview() -> ModelsOverview:
    """The models of this process and every worker alive."""
    settings = get_settings()
    named = [role for role in ROLES if role != "tagger" or settings.tagger]
    remote = [role for role in named if is_remote(getattr(settings, f"{role}_backend", ""))]
    try:
        workers, unreachable = workers_alive(), False
    except ModelUnavailable:
        workers, unreachable = [], True
    return ModelsOverview([_local(settings, role) for role in named if role not in remote], remote, workers, unreachable, time.time())


def _local(settings: Settings, role: str) -> LocalModel:
    return LocalModel(
        role,
        getattr(settings, role, ""),
        _count("wenlu_batch_waiting", role),
        _count("wenlu_batches_total", role),
        _count("wenlu_batched_texts_total", role),
    )


def _count(name: str, role: str) -> int:
    return int(REGISTRY.get_sample_value(name, {"model": role}) or 0)
