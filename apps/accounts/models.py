"""Users, what they may do in each knowledge base, API keys, and who did what."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import AccessRole

ROLE_CHOICES = [
    (AccessRole.ADMIN.value, _("Administrator")),
    (AccessRole.REVIEWER.value, _("Reviewer")),
    (AccessRole.EDITOR.value, _("Editor")),
    (AccessRole.VIEWER.value, _("Viewer")),
    (AccessRole.ASKER.value, _("Asker")),
]


class User(AbstractUser):
    """A person with a password. Superusers are administrators everywhere."""

    role = models.CharField(
        _("role everywhere"), max_length=16, choices=ROLE_CHOICES, blank=True, help_text=_("Empty: only what memberships give.")
    )

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"


class Membership(models.Model):
    """The role of a person in one knowledge base."""

    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="memberships")
    kb = models.ForeignKey(
        "retrieval.KnowledgeBase", verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(_("role"), max_length=16, choices=ROLE_CHOICES)

    class Meta:
        verbose_name, verbose_name_plural = _("membership"), _("memberships")
        constraints = [models.UniqueConstraint(fields=["user", "kb"], name="one_role_a_person_and_base")]

    def __str__(self) -> str:
        return f"{self.user} · {self.kb} · {self.role}"


class ApiKey(models.Model):
    """A key for programs. Only its digest is kept: a lost key cannot be shown again, only replaced."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    prefix = models.CharField(_("begins with"), max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(_("role"), max_length=16, choices=ROLE_CHOICES)
    kb = models.ForeignKey(
        "retrieval.KnowledgeBase", verbose_name=_("only this knowledge base"), null=True, blank=True, on_delete=models.CASCADE
    )
    bot = models.ForeignKey("dialogue.Bot", verbose_name=_("only this bot"), null=True, blank=True, on_delete=models.CASCADE)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("API key"), _("API keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Limit(models.Model):
    """How much a key, or all who ask a bot, may use. Empty sets no limit."""

    key = models.OneToOneField(ApiKey, verbose_name=_("API key"), null=True, blank=True, on_delete=models.CASCADE, related_name="limit")
    bot = models.OneToOneField("dialogue.Bot", verbose_name=_("bot"), null=True, blank=True, on_delete=models.CASCADE, related_name="limit")
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    requests_per_day = models.PositiveIntegerField(_("requests a day"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens a minute"), null=True, blank=True)
    tokens_per_day = models.PositiveIntegerField(_("tokens a day"), null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("limit"), _("limits")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(key=None, bot__isnull=False) | models.Q(key__isnull=False, bot=None), name="limit_of_a_key_or_a_bot"
            )
        ]

    def __str__(self) -> str:
        return str(self.key or self.bot)


class UsageDay(models.Model):
    """What one caller asked of one bot or model in one day. `times` is a histogram, see `apps.accounts.usage`."""

    day = models.DateField(_("day"))
    caller = models.CharField(_("who"), max_length=160, blank=True)
    model = models.CharField(_("bot or model"), max_length=160)
    is_bot = models.BooleanField(_("bot"), default=True)
    requests = models.PositiveBigIntegerField(_("requests"), default=0)
    failed = models.PositiveBigIntegerField(_("failed"), default=0)
    refused = models.PositiveBigIntegerField(_("refused by a limit"), default=0)
    prompt_tokens = models.PositiveBigIntegerField(_("tokens in"), default=0)
    completion_tokens = models.PositiveBigIntegerField(_("tokens out"), default=0)
    times = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("usage"), _("usage")
        constraints = [models.UniqueConstraint(fields=["day", "caller", "model", "is_bot"], name="one_row_a_day_caller_and_model")]

    def __str__(self) -> str:
        return f"{self.day} {self.caller} {self.model}"


class AuditEntry(models.Model):
    """One change that somebody made. Written with the change, never edited."""

    at = models.DateTimeField(_("at"), auto_now_add=True, db_index=True)
    actor = models.CharField(_("who"), max_length=160)
    action = models.CharField(_("did"), max_length=64)
    target = models.CharField(_("to"), max_length=200)
    kb_slug = models.CharField(_("knowledge base"), max_length=80, blank=True, db_index=True)
    details = models.JSONField(_("details"), default=dict, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("audit entry"), _("audit trail")
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.target}"
