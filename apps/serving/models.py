"""Deployments: which generators there are and in which order they are asked. Jobs: what is done in the background, and how far it is."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Deployment(models.Model):
    """A generator under a name of its own. The key is kept sealed and shown to nobody."""

    class Kind(models.TextChoices):
        LOCAL = "local", _("This installation's own model")
        UPSTREAM = "upstream", _("OpenAI-compatible server")

    name = models.SlugField(_("name"), max_length=80, unique=True, help_text=_("What programs ask for as `model`."))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.UPSTREAM)
    base_url = models.CharField(
        _("address"), max_length=500, blank=True, help_text=_("Up to and including /v1, such as https://api.example.com/v1.")
    )
    model = models.CharField(_("model"), max_length=200, blank=True, help_text=_("The model's name on that server."))
    sealed_key = models.TextField(editable=False, blank=True)
    order = models.PositiveSmallIntegerField(
        _("order"), default=10, help_text=_("The lowest is asked first; the next one when it gives no first word.")
    )
    enabled = models.BooleanField(_("in use"), default=True)
    connect_timeout_s = models.FloatField(_("seconds to connect"), default=5, validators=[MinValueValidator(0.1), MaxValueValidator(60)])
    read_timeout_s = models.FloatField(_("seconds without a word"), default=30, validators=[MinValueValidator(1), MaxValueValidator(600)])
    retries = models.PositiveSmallIntegerField(_("tries again"), default=2, validators=[MaxValueValidator(5)])
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("generator"), _("generators")
        ordering = ["order", "name"]

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    """Work in the background. Whoever holds its lease works on it; `position` is where whoever comes next goes on.

    Jobs of one `line` (a knowledge base) are done one after another, in their order; lines share the time fairly.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    kind = models.CharField(_("kind"), max_length=40)
    kb = models.ForeignKey(
        "retrieval.KnowledgeBase", verbose_name=_("knowledge base"), null=True, blank=True, on_delete=models.CASCADE, related_name="jobs"
    )
    line = models.CharField(max_length=80)
    title = models.CharField(_("what"), max_length=200, blank=True)
    actor = models.CharField(_("by"), max_length=160)
    payload = models.JSONField(default=dict)
    folder = models.CharField(max_length=40, blank=True, help_text="Name of the folder with its own files; they go when it has ended well.")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED)
    step = models.CharField(_("step"), max_length=40, blank=True)
    position = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    done = models.BigIntegerField(_("done"), default=0)
    total = models.BigIntegerField(_("in all"), default=0)
    samples = models.JSONField(default=list, help_text="[seconds since 1970, done] of the last minutes: how fast it goes.")
    cancel_requested = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How often it was begun or taken over since it last came further.")
    not_before = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=160, blank=True)
    lease_token = models.BigIntegerField(default=0, help_text="Grows with each claim: who was late writes nothing.")
    lease_until = models.DateTimeField(null=True)
    served_at = models.DateTimeField(null=True)
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    UNFINISHED = (State.QUEUED, State.RUNNING)

    class Meta:
        verbose_name, verbose_name_plural = _("job"), _("jobs")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["line", "id"], name="job_by_line"),
            models.Index(fields=["line", "id"], name="job_unfinished", condition=models.Q(state__in=["queued", "running"])),
        ]
        constraints = [
            models.UniqueConstraint(fields=["line"], condition=~models.Q(lease_owner=""), name="one_leased_job_a_line"),
        ]

    def __str__(self) -> str:
        return self.title or f"{self.kind} {self.pk}"
