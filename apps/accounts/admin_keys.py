"""The panel's pages for API keys."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from apps.accounts.admin_roles import GivesRoles
from apps.accounts.audit import record
from apps.accounts.keys import create_key
from apps.accounts.models import ApiKey
from apps.accounts.panel import caller_of
from apps.accounts.permissions import AccessRole, Permission


class ApiKeyForm(forms.ModelForm):
    """A key is for one knowledge base, or one bot, or everything; never for both."""

    class Meta:
        model = ApiKey
        fields = ("name", "role", "kb", "bot", "expires_at")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("kb") and data.get("bot"):
            self.add_error("bot", _("Choose a knowledge base or a bot, not both: a key for a bot may ask that bot and nothing else."))
        if data.get("expires_at") and data["expires_at"] <= timezone.now():
            self.add_error("expires_at", _("This moment has passed."))
        return data


@admin.register(ApiKey)
class ApiKeyAdmin(GivesRoles):
    """Keys for programs: made once, shown once, revoked, never changed."""

    form = ApiKeyForm
    list_display = ("name", "begins_with", "role_badge", "reach", "state", "created_at", "expires_at")
    list_filter = ("role",)
    list_select_related = ("kb", "bot")
    search_fields = ("name", "prefix")
    actions = ("revoke_keys",)
    radio_fields: ClassVar[dict[str, int]] = {"role": admin.VERTICAL}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A key is not edited; the list needs the permission for its actions."""
        return obj is None and super().has_change_permission(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is not None:
            return ("name", "begins_with", "role", "reach", "state_name", "created_at", "expires_at", "revoked_at")
        everywhere = caller_of(request).may(Permission.MANAGE)
        return ("name", "role", "kb", "bot", "expires_at") if everywhere else ("name", "role", "kb", "expires_at")

    @display(description=gettext_lazy("begins with"))
    def begins_with(self, obj: ApiKey) -> str:
        return format_html("<code>{}…</code>", obj.prefix)

    @display(description=gettext_lazy("good for"))
    def reach(self, obj: ApiKey) -> str:
        if obj.bot is not None:
            return _("bot %(name)s") % {"name": obj.bot}
        return str(obj.kb) if obj.kb is not None else _("everything")

    @display(description=gettext_lazy("state"), label={"usable": "success", "expired": "warning", "revoked": "danger"})
    def state(self, obj: ApiKey) -> tuple[str, str]:
        if obj.revoked_at:
            return "revoked", _("Revoked")
        if obj.expires_at and obj.expires_at <= timezone.now():
            return "expired", _("Expired")
        return "usable", _("Usable")

    @display(description=gettext_lazy("state"))
    def state_name(self, obj: ApiKey) -> str:
        return self.state(obj)[1]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm, change: bool) -> None:
        """Makes the key and shows its text, this once."""
        key, text = create_key(name=obj.name, role=AccessRole(obj.role), kb_id=obj.kb_id, bot_id=obj.bot_id, expires_at=obj.expires_at)
        obj.__dict__.update({name: value for name, value in key.__dict__.items() if name != "_state"})
        obj._state.adding = False
        record(caller_of(request), "create_key", target=key.name, kb=key.kb.slug if key.kb else "", details={"role": key.role})
        shown = format_html('<code class="panel-key" data-key>{}</code>', text)
        messages.warning(request, format_html(_("Copy this key now; it is not shown again: {}"), shown))

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Back to the list, which shows the key's text; the usual success message would only hide it."""
        return self.response_post_save_add(request, obj)

    @admin.action(description=gettext_lazy("Revoke the selected keys"), permissions=["change"])
    def revoke_keys(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """From now on these keys open nothing."""
        keys = list(queryset.filter(revoked_at=None).select_related("kb"))
        queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        for key in keys:
            record(caller_of(request), "revoke_key", target=key.name, kb=key.kb.slug if key.kb else "")
        self.message_user(request, ngettext("%(count)d key revoked.", "%(count)d keys revoked.", len(keys)) % {"count": len(keys)})

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        record(caller_of(request), "delete_key", target=obj.name, kb=obj.kb.slug if obj.kb else "")
        super().delete_model(request, obj)
