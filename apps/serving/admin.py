"""The panel's pages for generators: which there are, in which order they are asked, and whether they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.accounts.panel import ScopedAdmin, caller_of
from apps.accounts.permissions import Permission
from apps.serving.connections import private_hosts
from apps.serving.generators import GENERATOR, endpoint_of
from apps.serving.models import Deployment
from apps.serving.services import delete_deployment, save_deployment
from apps.serving.upstream import list_upstream_models
from core.config import get_settings
from core.errors import QAError
from core.net import AddressRefused, check_url

_ROLES = (GENERATOR, "encoder")


class DeploymentForm(forms.ModelForm):
    """A generator. Its key goes in and never comes out."""

    key = forms.CharField(
        label=gettext_lazy("API key"), required=False, strip=True, max_length=500, widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Kept sealed and never shown. Empty leaves it as it is."),
    )  # fmt: skip
    forget_key = forms.BooleanField(label=gettext_lazy("Take the key away"), required=False)

    class Meta:
        model = Deployment
        fields = (
            "name", "kind", "order", "enabled", "base_url", "model", "connect_timeout_s", "read_timeout_s", "retries",
        )  # fmt: skip

    def clean_name(self) -> str:
        """Roles keep their names."""
        name: str = self.cleaned_data["name"]
        if name in _ROLES:
            raise forms.ValidationError(_("“%(name)s” is the name of a role: choose another.") % {"name": name})
        return name

    def clean_base_url(self) -> str:
        """An address that may be reached, over TLS unless it is listed."""
        url: str = self.cleaned_data["base_url"].strip()
        if url:
            try:
                check_url(url, private_hosts(), needs_tls=True)
            except AddressRefused as error:
                reason = _("This address may not be used: https and a public host, or a host that QA_PRIVATE_HOSTS lists.")
                raise forms.ValidationError(reason) from error
        return url

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("kind") == Deployment.Kind.UPSTREAM:
            for name in ("base_url", "model"):
                if not data.get(name) and name not in self.errors:
                    self.add_error(name, _("An OpenAI-compatible server needs this."))
        elif not get_settings().generator:
            self.add_error("kind", _("This installation has no model of its own: QA_GENERATOR is empty."))
        if "base_url" in self.changed_data and self.instance.sealed_key and not (data.get("key") or data.get("forget_key")):
            self.add_error("key", _("The address has changed: enter the key again, so that it goes nowhere by mistake."))
        return data

    @property
    def new_key(self) -> str | None:
        """What the key becomes: a text, nothing (empty), or None where it stays."""
        if self.cleaned_data.get("forget_key"):
            return ""
        return self.cleaned_data.get("key") or None


@admin.register(Deployment)
class DeploymentAdmin(ScopedAdmin):
    """Generators, in the order in which they are asked. For administrators of the installation."""

    needs: ClassVar[Mapping[str, Permission | None]] = dict.fromkeys(("view", "add", "change", "delete"), Permission.MANAGE)
    form = DeploymentForm
    list_display = ("name", "kind_badge", "address", "model", "key_state", "order", "state")
    search_fields = ("name", "base_url", "model")
    actions_detail = ("try_connection",)
    radio_fields: ClassVar[dict[str, int]] = {"kind": admin.VERTICAL}

    def get_fieldsets(self, request: HttpRequest, obj: Deployment | None = None) -> list[tuple[Any, dict[str, Any]]]:
        key = ["key", "forget_key"] if obj is not None and obj.sealed_key else ["key"]
        return [
            (None, {"fields": ["name", "kind", ("order", "enabled")]}),
            (_("OpenAI-compatible server"), {"fields": ["base_url", "model", *key]}),
            (_("Patience"), {"fields": [("connect_timeout_s", "read_timeout_s", "retries")]}),
        ]

    @display(description=gettext_lazy("kind"), ordering="kind", label={"local": "", "upstream": "info"})
    def kind_badge(self, obj: Deployment) -> tuple[str, str]:
        return obj.kind, str(obj.get_kind_display())

    @display(description=gettext_lazy("address"), ordering="base_url", empty_value="–")
    def address(self, obj: Deployment) -> str | None:
        return obj.base_url or None

    @display(description=gettext_lazy("API key"))
    def key_state(self, obj: Deployment) -> str:
        return "••••••" if obj.sealed_key else "–"

    @display(description=gettext_lazy("state"), ordering="enabled", label={"on": "success", "off": ""})
    def state(self, obj: Deployment) -> tuple[str, str]:
        return ("on", _("In use")) if obj.enabled else ("off", _("Not in use"))

    @action(description=gettext_lazy("Try the connection"), url_path="connection", icon="cable")
    def try_connection(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks the server for its models, with the stored key."""
        row = self.get_object(request, object_id)
        back = HttpResponseRedirect(reverse("admin:serving_deployment_changelist"))
        if row is None or not self.has_change_permission(request, row):
            return back
        if row.kind == Deployment.Kind.LOCAL:
            messages.info(request, _("The model of this installation needs no connection."))
        else:
            _tell(request, row)
        return HttpResponseRedirect(reverse("admin:serving_deployment_change", args=[row.pk]))

    def save_model(self, request: HttpRequest, obj: Deployment, form: DeploymentForm, change: bool) -> None:
        save_deployment(obj, key=form.new_key, caller=caller_of(request), fields=form.changed_data)

    def delete_model(self, request: HttpRequest, obj: Deployment) -> None:
        delete_deployment(obj, caller_of(request))


def _tell(request: HttpRequest, row: Deployment) -> None:
    """Whether the server answers and has the model, as a message."""
    try:
        served = list_upstream_models(endpoint_of(row))
    except QAError as error:
        messages.error(request, _("No connection: %(reason)s") % {"reason": error.message})
        return
    if row.model in served:
        messages.success(request, _("Connected; the server has %(model)s.") % {"model": row.model})
    else:
        names = ", ".join(served[:10]) or "–"
        messages.warning(
            request, _("Connected, but the server does not list %(model)s. It lists: %(names)s") % {"model": row.model, "names": names}
        )
