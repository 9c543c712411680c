"""What can be done to deployments."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from apps.accounts.audit import record
from apps.accounts.permissions import Caller
from apps.serving.generators import forget_generators
from apps.serving.models import Deployment
from apps.serving.sealing import reseal, seal
from core.errors import ModelUnavailable


def save_deployment(deployment: Deployment, *, key: str | None, caller: Caller, fields: Sequence[str]) -> None:
    """Stores it, with its key where one is given (empty takes the key away, None leaves it), and who changed which fields."""
    action = "create_deployment" if deployment._state.adding else "change_deployment"
    if key is not None:
        deployment.sealed_key = seal(key) if key else ""
    with transaction.atomic():
        deployment.save()
        record(caller, action, target=deployment.name, details={"fields": list(fields)})
    forget_generators()


def delete_deployment(deployment: Deployment, caller: Caller) -> None:
    """Deletes it with its key."""
    with transaction.atomic():
        record(caller, "delete_deployment", target=deployment.name)
        deployment.delete()
    forget_generators()


def reseal_keys() -> tuple[int, list[str]]:
    """Seals every key anew with the present secret key: how many, and the names of those that could not be opened."""
    done, closed = 0, []
    for deployment in Deployment.objects.exclude(sealed_key=""):
        try:
            sealed = reseal(deployment.sealed_key)
        except ModelUnavailable:
            closed.append(deployment.name)
            continue
        Deployment.objects.filter(pk=deployment.pk, sealed_key=deployment.sealed_key).update(sealed_key=sealed)
        done += 1
    return done, closed
