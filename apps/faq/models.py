"""Questions that people ask again and again, each with many phrasings and one answer, stored word for word."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.retrieval.models import LOCALE_CHOICES, KnowledgeBase


class FAQStatus(models.TextChoices):
    """The life cycle of content. Only what is published answers."""

    DRAFT = "draft", _("Draft")
    IN_REVIEW = "in_review", _("In review")
    PUBLISHED = "published", _("Published")
    ARCHIVED = "archived", _("Archived")


class FAQ(models.Model):
    """One answer and the questions that it answers."""

    kb = models.ForeignKey(KnowledgeBase, verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="faqs")
    external_id = models.CharField(
        _("id"), max_length=120, help_text=_("Stable id, unique in its knowledge base; kept through export and import.")
    )
    answer = models.TextField(_("answer"))
    category = models.CharField(_("category"), max_length=120, blank=True, db_index=True)
    locale = models.CharField(_("language"), max_length=8, choices=LOCALE_CHOICES)
    status = models.CharField(_("status"), max_length=12, choices=FAQStatus, default=FAQStatus.DRAFT, db_index=True)
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    updated_by = models.CharField(_("changed by"), max_length=160, blank=True, editable=False)

    class Meta:
        verbose_name, verbose_name_plural = _("FAQ"), _("FAQs")
        ordering = ["-updated_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["kb", "external_id"], name="one_faq_an_id")]
        indexes = [models.Index(fields=["kb", "status", "-updated_at"], name="faq_by_status")]

    def __str__(self) -> str:
        return self.external_id


class FAQQuestion(models.Model):
    """One phrasing of an FAQ's question. Its primary key is the id that the indexes know.

    `kb` is the FAQ's own, kept here too so that the same question is found exactly by one index.
    """

    kb = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="+", editable=False)
    faq = models.ForeignKey(FAQ, verbose_name=_("FAQ"), on_delete=models.CASCADE, related_name="questions")
    text = models.CharField(_("question"), max_length=2000)
    normalized_digest = models.CharField(max_length=32, editable=False)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name, verbose_name_plural = _("phrasing"), _("phrasings")
        ordering = ["faq", "position", "id"]
        indexes = [models.Index(fields=["kb", "normalized_digest"], name="question_by_digest")]

    def __str__(self) -> str:
        return self.text
