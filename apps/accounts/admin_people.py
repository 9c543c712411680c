"""The panel's pages for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.accounts.admin_roles import MANAGED, ROLE_COLOURS, MembershipInline, RecordsRoles
from apps.accounts.audit import record
from apps.accounts.models import User
from apps.accounts.panel import caller_of
from apps.accounts.permissions import Permission
from core.text import clean_text

MAX_GROUP_CHARS = 120  # as in the access lists of documents


class PersonForm(UserChangeForm):
    """A person, with the groups that open documents to them."""

    in_groups = forms.CharField(
        label=gettext_lazy("groups"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Names, separated by commas: documents whose access list has one of them are open to this person."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "in_groups" in self.fields:
            self.initial["in_groups"] = ", ".join(self.instance.groups.order_by("name").values_list("name", flat=True))

    def clean_in_groups(self) -> list[str]:
        """The names, each once."""
        names = list(dict.fromkeys(clean_text(name) for name in re.split("[,，]", self.cleaned_data["in_groups"]) if name.strip()))
        if any(len(name) > MAX_GROUP_CHARS for name in names):
            raise forms.ValidationError(_("A group's name has at most %(most)d characters.") % {"most": MAX_GROUP_CHARS})
        return names


@admin.register(User)
class UserAdmin(RecordsRoles, DjangoUserAdmin):
    """People. Only superusers may touch superusers."""

    needs: ClassVar[Mapping[str, Permission | None]] = MANAGED
    form, add_form, change_password_form = PersonForm, UserCreationForm, AdminPasswordChangeForm
    inlines = (MembershipInline,)
    list_display = ("person", "role_badge", "single_roles", "email", "is_active", "is_staff", "last_login")
    list_filter = ("role", "is_active", "is_staff")
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Person"), {"fields": ("first_name", "last_name", "email")}),
        (gettext_lazy("Access"), {"fields": ("role", "in_groups", "is_active", "is_staff", "is_superuser")}),
        (gettext_lazy("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "usable_password", "password1", "password2", "role", "is_staff")}),)
    readonly_fields = ("last_login", "date_joined")

    @display(description=gettext_lazy("person"), header=True, ordering="username")
    def person(self, obj: User) -> list[str]:
        return [obj.get_full_name() or obj.username, obj.username, obj.username[:2]]

    @display(description=gettext_lazy("role everywhere"), ordering="role", label=ROLE_COLOURS | {"superuser": "danger"})
    def role_badge(self, obj: User) -> tuple[str, str] | None:
        if obj.is_superuser:
            return "superuser", _("Superuser")
        return (obj.role, str(obj.get_role_display())) if obj.role else None

    @display(description=gettext_lazy("roles in knowledge bases"), empty_value="–")
    def single_roles(self, obj: User) -> str | None:
        return ", ".join(f"{row.kb}: {row.get_role_display()}" for row in obj.memberships.all()) or None

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("memberships__kb")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj is not None and obj.is_superuser and not request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes themselves, nor a superuser without being one."""
        if obj is not None and (obj.pk == request.user.pk or (obj.is_superuser and not request.user.is_superuser)):
            return False
        return super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Superusers are made by superusers; nobody takes away their own access."""
        fixed = self.readonly_fields if request.user.is_superuser else (*self.readonly_fields, "is_superuser")
        return (*fixed, "is_superuser", "is_active", "is_staff") if obj is not None and obj.pk == request.user.pk else fixed

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if "in_groups" in form.changed_data:
            form.instance.groups.set([Group.objects.get_or_create(name=name)[0] for name in form.cleaned_data["in_groups"]])

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record(
            caller_of(request), "change_user" if change else "create_user", target=obj.username, details={"fields": list(form.changed_data)}
        )

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        record(caller_of(request), "delete_user", target=obj.username)
        super().delete_model(request, obj)
