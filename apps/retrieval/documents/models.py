"""Documents as they were read and cut, and how each came in."""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.retrieval.documents.page_numbers import page_at
from apps.retrieval.wide_index import WideIndex


class Document(models.Model):
    """A text that a knowledge base holds: a file, a page or a row, as it was read and cleaned."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In review")
        PUBLISHED = "published", _("Published")
        ARCHIVED = "archived", _("Archived")

    kb = models.ForeignKey("retrieval.KnowledgeBase", verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="documents")
    external_id = models.CharField(
        _("id"), max_length=200, help_text=_("Stable name within the knowledge base: a row's id, a file's path, an address.")
    )
    title = models.CharField(_("title"), max_length=500, blank=True)
    text = models.TextField(_("text"))
    url = models.CharField(_("address"), max_length=2000, blank=True)
    media_type = models.CharField(_("media type"), max_length=120, blank=True)
    language = models.CharField(_("language"), max_length=8, blank=True)
    author = models.CharField(_("author"), max_length=200, blank=True)
    category = models.CharField(_("category"), max_length=120, blank=True)
    tags = models.JSONField(_("tags"), default=list, blank=True)
    access = models.JSONField(
        _("access list"), default=list, blank=True, help_text=_("Groups that may find it; empty for everyone who may search the base.")
    )
    date = models.DateField(_("date"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.PUBLISHED)
    source_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    text_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    simhash = models.BigIntegerField(null=True, editable=False)
    band_0 = models.IntegerField(null=True, editable=False, help_text="The lowest 16 bits of the fingerprint, and so on.")
    band_1 = models.IntegerField(null=True, editable=False)
    band_2 = models.IntegerField(null=True, editable=False)
    band_3 = models.IntegerField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name, verbose_name_plural = _("document"), _("documents")
        ordering = ["kb", "external_id"]
        constraints = [models.UniqueConstraint(fields=["kb", "external_id"], name="one_document_an_id")]
        indexes = [
            models.Index(fields=["kb", "text_sha256"], name="document_by_text"),
            models.Index(fields=["kb", "date", "id"], name="document_by_day"),
            models.Index(fields=["kb", "-updated_at", "-id"], name="document_by_change"),
            *(models.Index(fields=["kb", f"band_{number}", "simhash"], name=f"document_by_print_{number}") for number in range(4)),
            WideIndex(fields=["kb", "id", "status", "category", "language", "author", "date", "tags", "access"], name="document_facts"),
        ]

    def __str__(self) -> str:
        return self.title or self.external_id


class IngestPolicy(models.Model):
    """What a knowledge base keeps out when documents come in, and what it mends in them."""

    class Duplicates(models.TextChoices):
        KEEP = "keep", _("Keep")
        REPORT = "report", _("Keep and report")
        DROP = "drop", _("Leave out")

    kb = models.OneToOneField(
        "retrieval.KnowledgeBase", verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="ingest_policy"
    )
    duplicates = models.CharField(_("same text"), max_length=8, choices=Duplicates, default=Duplicates.DROP)
    near_duplicates = models.CharField(_("nearly the same text"), max_length=8, choices=Duplicates, default=Duplicates.REPORT)
    repair_encoding = models.BooleanField(_("repair wrongly decoded text"), default=True)
    drop_poor = models.BooleanField(_("leave out poor text"), default=True)
    drop_site_lines = models.BooleanField(_("leave out what every page of a site repeats"), default=True)
    min_chars = models.PositiveIntegerField(_("fewest letters and digits"), default=1)
    block_words = models.BooleanField(_("leave out text with blocked words"), default=False)
    blocked_words = models.TextField(_("blocked words"), blank=True, help_text=_("One word or phrase a line."))

    class Meta:
        verbose_name, verbose_name_plural = _("ingest policy"), _("ingest policies")

    def __str__(self) -> str:
        return str(self.kb)


class SiteLines(models.Model):
    """How many pages of a site came in, and on how many of them its most frequent blocks (by hash) were."""

    kb = models.ForeignKey("retrieval.KnowledgeBase", on_delete=models.CASCADE, related_name="+")
    site = models.CharField(max_length=200)
    pages = models.PositiveIntegerField(default=0)
    lines = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kb", "site"], name="one_count_a_site")]

    def __str__(self) -> str:
        return self.site


class SitePage(models.Model):
    """A page of the web that came in: by what its server tells whether it changed, and the sitemap that named it."""

    kb = models.ForeignKey("retrieval.KnowledgeBase", on_delete=models.CASCADE, related_name="+")
    external_id = models.CharField(max_length=200, help_text="The id of its document.")
    url = models.CharField(max_length=2000)
    sitemap = models.CharField(
        max_length=200, blank=True, help_text="The sitemap's address, as long as an id; empty for a page asked for by itself."
    )
    etag = models.CharField(max_length=500, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    content_sha256 = models.CharField(max_length=64)
    fetched_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kb", "external_id"], name="one_page_an_id")]
        indexes = [models.Index(fields=["kb", "sitemap"], name="page_by_sitemap")]

    def __str__(self) -> str:
        return self.url


class Withdrawal(models.Model):
    """A document that was archived because the policy took it out, or its page was gone, when its source came in again.

    It is no more once the document has another status, or a person archives it.
    """

    class Reason(StrEnum):
        POLICY = "policy"
        GONE = "gone"

    document = models.OneToOneField(Document, primary_key=True, on_delete=models.CASCADE, related_name="withdrawal")
    status_before = models.CharField(max_length=10, choices=Document.Status)
    reason = models.CharField(max_length=10, choices=[(reason.value, reason.value) for reason in Reason], default=Reason.POLICY.value)

    def __str__(self) -> str:
        return str(self.document)


class Ingestion(models.Model):
    """One run of an ingestion and what became of its sources. `items` name those that were not simply taken, `codes` count the reasons."""

    kb = models.ForeignKey("retrieval.KnowledgeBase", verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="ingestions")
    actor = models.CharField(_("by"), max_length=160, blank=True)
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    created = models.PositiveIntegerField(_("new"), default=0)
    updated = models.PositiveIntegerField(_("changed"), default=0)
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0)
    bad = models.PositiveIntegerField(_("unusable"), default=0)
    dropped = models.PositiveIntegerField(_("left out"), default=0)
    noted = models.PositiveIntegerField(_("noted"), default=0)
    codes = models.JSONField(default=dict)
    items = models.JSONField(default=list)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("ingestion"), _("ingestions")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.kb} {timezone.localtime(self.started_at):%Y-%m-%d %H:%M}"


class Passage(models.Model):
    """A piece of a document: `start` and `end` are offsets in its text; the section around it gives context."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="passages")
    number = models.PositiveIntegerField()
    text = models.TextField()
    heading = models.CharField(max_length=500, blank=True, help_text="Headings that it stands under, outermost first, joined by ' > '.")
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    page = models.PositiveIntegerField(null=True)
    later_pages = models.TextField(blank=True, default="", help_text="Where in its text further pages begin: 130:2 250:3.")
    section_start = models.PositiveIntegerField()
    section_end = models.PositiveIntegerField()

    class Meta:
        verbose_name, verbose_name_plural = _("passage"), _("passages")
        constraints = [models.UniqueConstraint(fields=["document", "number"], name="one_passage_a_number")]
        indexes = [WideIndex(fields=["id", "document"], name="passage_document")]

    def __str__(self) -> str:
        return f"{self.document_id}#{self.number}"

    @property
    def last_page(self) -> int | None:
        """The page on which its text ends."""
        return page_at(self.page, self.later_pages, len(self.text))


class PassageQuestion(models.Model):
    """A question that a passage answers: it finds the passage too."""

    passage = models.ForeignKey(Passage, on_delete=models.CASCADE, related_name="questions")
    text = models.CharField(max_length=500)

    def __str__(self) -> str:
        return self.text
