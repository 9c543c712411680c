from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FAQConfig(AppConfig):
    name = "apps.faq"
    label = "faq"
    verbose_name = _("FAQs")

    def ready(self) -> None:
        """Tells index verification which phrasings must be findable."""
        from apps.faq.selectors import findable_phrasings
        from apps.retrieval.outbox.verification import register_content
        from core.types import EntryKind

        register_content(EntryKind.FAQ, findable_phrasings)
