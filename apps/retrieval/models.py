"""Knowledge bases, and what their indexes must hold.

`Entry` is the outbox: each searchable text is one row that carries the revision of its last change. An index follows by
asking for the rows above the revision that it has reached; a row that is `deleted` is a tombstone. Revisions are handed
out under a lock on the knowledge base, so they become visible in order and none is ever missed.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.types import EntryKind

LOCALE_CHOICES = [("zh", _("Chinese")), ("en", _("English"))]


class KnowledgeBase(models.Model):
    """The unit of content, tenancy and permission."""

    slug = models.SlugField(_("slug"), max_length=80, unique=True)
    name = models.CharField(_("name"), max_length=160)
    description = models.TextField(_("description"), blank=True)
    locale = models.CharField(_("main language"), max_length=8, choices=LOCALE_CHOICES, default="zh")
    revision = models.BigIntegerField(_("revision"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("knowledge base"), _("knowledge bases")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class IndexGeneration(models.Model):
    """One build of a knowledge base's vectors with one encoder; exactly one is active."""

    class Status(models.TextChoices):
        BUILDING = "building", _("Building")
        ACTIVE = "active", _("Active")
        RETIRED = "retired", _("Retired")

    kb = models.ForeignKey(KnowledgeBase, verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="generations")
    number = models.PositiveIntegerField(_("number"))
    encoder = models.CharField(_("encoder"), max_length=200)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.BUILDING)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("index generation"), _("index generations")
        ordering = ["kb", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["kb", "number"], name="one_generation_a_number"),
            models.UniqueConstraint(fields=["kb"], condition=Q(status="active"), name="one_active_generation_a_base"),
        ]

    def __str__(self) -> str:
        return f"{self.kb} #{self.number} ({self.encoder})"


class Entry(models.Model):
    """A text that can be found: what the indexes must hold, or (`deleted`) must no longer hold."""

    kb = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=12, choices=[(kind.value, kind.value) for kind in EntryKind])
    owner_id = models.BigIntegerField(help_text="Primary key of what the text belongs to: an FAQ phrasing, a passage.")
    text = models.TextField()
    revision = models.BigIntegerField()
    deleted = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "owner_id"], name="one_entry_an_owner")]
        indexes = [models.Index(fields=["kb", "kind", "revision"], name="entry_by_revision")]

    def __str__(self) -> str:
        return f"{self.kind} {self.owner_id} @{self.revision}"


class EntryVector(models.Model):
    """The vector of an entry in one generation: float16[dim], with int8 token vectors where late interaction wants them."""

    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="vectors")
    generation = models.ForeignKey(IndexGeneration, on_delete=models.CASCADE, related_name="vectors")
    vector = models.BinaryField()
    tokens = models.BinaryField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entry", "generation"], name="one_vector_an_entry_and_generation")]

    def __str__(self) -> str:
        return f"{self.entry_id} in {self.generation_id}"
