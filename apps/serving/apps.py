from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ServingConfig(AppConfig):
    name = "apps.serving"
    label = "serving"
    verbose_name = _("Models in service")

    def ready(self) -> None:
        from apps.serving.worker_metrics import register_worker_metrics

        register_worker_metrics()
