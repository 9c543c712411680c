"""Knowledge bases, and what their indexes must hold.

`Entry` is the outbox: each searchable text is one row that carries the revision of its last change. An index follows by
asking for the rows above the revision that it has reached; a row that is `deleted` is a tombstone. Revisions are handed
out under a lock on the knowledge base, so they become visible in order and none is ever missed. What the texts come from lies
beside what reads it: documents in `documents/models.py`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.retrieval.documents.models import Document, Ingestion, IngestPolicy, Passage, PassageQuestion, SiteLines, SitePage, Withdrawal
from core.types import EntryKind

__all__ = [
    "Document",
    "Entry",
    "EntryVector",
    "IndexGeneration",
    "IngestPolicy",
    "Ingestion",
    "KnowledgeBase",
    "LOCALE_CHOICES",
    "Passage",
    "PassageQuestion",
    "QueryLayer",
    "SiteLines",
    "SitePage",
    "Withdrawal",
]

LOCALE_CHOICES = [("zh", _("Chinese")), ("en", _("English"))]


class KnowledgeBase(models.Model):
    """The unit of content, tenancy and permission."""

    slug = models.SlugField(_("slug"), max_length=80, unique=True)
    name = models.CharField(_("name"), max_length=160)
    description = models.TextField(_("description"), blank=True)
    locale = models.CharField(_("main language"), max_length=8, choices=LOCALE_CHOICES, default="zh")
    open_search = models.BooleanField(
        _("open search"),
        default=False,
        help_text=_("Anybody may search its documents and read them, without an account; those with an access list stay hidden."),
    )
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
    terms = models.JSONField(default=list, help_text="What searches filter by, such as `tag=travel`.")
    day = models.IntegerField(null=True, help_text="The day of the text as `date.toordinal`, for filters.")
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


class QueryLayer(models.Model):
    """How the words of questions to a knowledge base are understood: each part can be switched off, and takes effect when it is saved."""

    kb = models.OneToOneField(KnowledgeBase, verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="query_layer")
    uses_words = models.BooleanField(_("dictionary"), default=True, help_text=_("Words of yours count as one where they are met."))
    uses_synonyms = models.BooleanField(
        _("synonyms"), default=True, help_text=_("Other words for the same thing find it too, a little below.")
    )
    uses_typos = models.BooleanField(
        _("typing errors"),
        default=True,
        help_text=_("Characters of the same sound, and pinyin, where the knowledge base has no such word."),
    )
    uses_numbers = models.BooleanField(
        _("numbers and dates"), default=True, help_text=_("15天 finds 十五天, 2024-03-05 finds 2024年3月5日.")
    )
    words = models.TextField(_("words"), blank=True, help_text=_("One word a line, such as product names."))
    synonyms = models.TextField(
        _("synonym rules"),
        blank=True,
        help_text=_(
            "One rule a line. “报销, 请款” finds either by the other; “OA => 办公系统, 协同办公” finds the right side by the left one."
        ),
    )
    version = models.PositiveIntegerField(default=0, editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name, verbose_name_plural = _("query layer"), _("query layers")
        ordering = ["kb"]

    def __str__(self) -> str:
        return str(self.kb)
