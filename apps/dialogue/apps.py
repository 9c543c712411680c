from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DialogueConfig(AppConfig):
    name = "apps.dialogue"
    label = "dialogue"
    verbose_name = _("Bots and conversations")

    def ready(self) -> None:
        """Tells jobs how hit tests are run."""
        from apps.dialogue.hit_tests import register_hit_test_job

        register_hit_test_job()
