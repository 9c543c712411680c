"""Deployments: which generators there are, here and elsewhere, and in which order they are asked."""

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
