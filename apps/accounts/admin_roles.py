"""The panel's page and tables of who has which role in which knowledge base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.decorators import display

from apps.accounts.audit import record
from apps.accounts.models import ApiKey, Membership, User
from apps.accounts.panel import ScopedAdmin, caller_of, kb_ids_where, may_somewhere
from apps.accounts.permissions import Permission

MANAGED: Mapping[str, Permission | None] = dict.fromkeys(("view", "add", "change", "delete"), Permission.MANAGE)
ROLE_COLOURS = {"admin": "danger", "reviewer": "success", "editor": "info", "viewer": "", "asker": ""}


class MembershipInline(TabularInline):
    """Roles in single knowledge bases; shown on a person's page and on a knowledge base's."""

    model = Membership
    extra = 0
    hide_title = True
    verbose_name_plural = gettext_lazy("Roles in single knowledge bases")

    def _manages(self, request: HttpRequest, obj: Model | None = None) -> bool:
        caller = caller_of(request)
        if obj is None or isinstance(obj, User):
            return may_somewhere(caller, Permission.MANAGE) if obj is None else caller.may(Permission.MANAGE)
        return caller.may(Permission.MANAGE, obj.pk)

    has_view_permission = has_add_permission = has_change_permission = has_delete_permission = _manages


class RecordsRoles(ScopedAdmin):
    """A page with a table of roles, whose changes go into the audit trail."""

    def save_formset(self, request: HttpRequest, form: forms.ModelForm, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        if formset.model is not Membership:
            return
        for membership in [*formset.new_objects, *(row for row, _fields in formset.changed_objects)]:
            record(
                caller_of(request), "set_role", target=membership.user.username, kb=membership.kb.slug, details={"role": membership.role}
            )
        for membership in formset.deleted_objects:
            record(caller_of(request), "remove_role", target=membership.user.username, kb=membership.kb.slug)


class GivesRoles(ScopedAdmin):
    """Rows that give somebody a role in a knowledge base that the reader manages; their forms offer no other base."""

    needs: ClassVar[Mapping[str, Permission | None]] = MANAGED
    kb_lookup = "kb_id"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        ids = kb_ids_where(caller_of(request), Permission.MANAGE)
        if db_field.name == "kb" and ids is not None:
            kwargs["queryset"] = db_field.remote_field.model.objects.filter(pk__in=ids)
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "kb" and ids is not None:
            field.required = True
        return field

    @display(description=gettext_lazy("role"), ordering="role", label=ROLE_COLOURS)
    def role_badge(self, obj: Membership | ApiKey) -> tuple[str, str]:
        return obj.role, str(obj.get_role_display())


@admin.register(Membership)
class MembershipAdmin(GivesRoles):
    """Who has which role where."""

    list_display = ("user", "kb", "role_badge")
    list_filter = ("role",)
    list_select_related = ("user", "kb")
    search_fields = ("user__username", "user__first_name", "user__last_name", "kb__name", "kb__slug")

    def save_model(self, request: HttpRequest, obj: Membership, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record(caller_of(request), "set_role", target=obj.user.username, kb=obj.kb.slug, details={"role": obj.role})

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        record(caller_of(request), "remove_role", target=obj.user.username, kb=obj.kb.slug)
        super().delete_model(request, obj)
