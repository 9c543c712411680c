from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RetrievalConfig(AppConfig):
    name = "apps.retrieval"
    label = "retrieval"
    verbose_name = _("Knowledge")

    def ready(self) -> None:
        """Tells index verification which passages and questions must be findable, and jobs how documents are read."""
        from apps.retrieval.documents.ingest_jobs import register_ingest_job
        from apps.retrieval.documents.passage_questions import facts_of_questions, findable_questions
        from apps.retrieval.documents.passages import facts_of_passages, findable_passages
        from apps.retrieval.outbox.verification import register_content
        from apps.retrieval.sites.site_jobs import register_site_job
        from core.types import EntryKind

        register_content(EntryKind.PASSAGE, findable_passages, facts_of_passages)
        register_content(EntryKind.QUESTION, findable_questions, facts_of_questions)
        register_ingest_job()
        register_site_job()
