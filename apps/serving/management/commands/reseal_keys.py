"""Seals the keys of deployments with the present secret key; the last step of changing it."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from apps.serving.services import reseal_keys


class Command(BaseCommand):
    help = "Seals the keys of deployments anew with the present secret key. Afterwards QA_OLD_SECRET_KEYS is not needed for them any more."

    def handle(self, **options: object) -> None:
        done, closed = reseal_keys()
        self.stdout.write(f"{done} keys sealed anew.")
        if closed:
            raise CommandError(f"Not opened by any secret key, enter them again in the panel: {', '.join(closed)}")
