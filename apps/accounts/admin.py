"""Admin pages for people, their roles, API keys and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import admin_usage  # noqa: F401 - registers its pages
from apps.accounts.audit import record
from apps.accounts.keys import create_key
from apps.accounts.models import ApiKey, AuditEntry, Membership, User
from apps.accounts.panel import ReadOnlyAdmin, ScopedAdmin, caller_of, kb_ids_where, may_somewhere
from apps.accounts.permissions import AccessRole, Permission

admin.site.unregister(Group)

MANAGED: Mapping[str, Permission | None] = dict.fromkeys(("view", "add", "change", "delete"), Permission.MANAGE)
ACTIONS = {
    "save_faqs": gettext_lazy("saved FAQs"), "delete_faqs": gettext_lazy("deleted FAQs"), "load_demo": gettext_lazy("loaded the demo"),
    "load_demo_documents": gettext_lazy("loaded the documents of the demo"),
    "create_kb": gettext_lazy("made a knowledge base"), "change_kb": gettext_lazy("changed a knowledge base"), "delete_kb": gettext_lazy("deleted a knowledge base"),
    "save_query_layer": gettext_lazy("changed the words of questions"),
    "create_bot": gettext_lazy("made a bot"), "change_bot": gettext_lazy("changed a bot"), "delete_bot": gettext_lazy("deleted a bot"),
    "create_user": gettext_lazy("added a person"), "change_user": gettext_lazy("changed a person"), "delete_user": gettext_lazy("deleted a person"),
    "set_role": gettext_lazy("gave a role"), "remove_role": gettext_lazy("took a role away"),
    "set_limit": gettext_lazy("set a limit"), "remove_limit": gettext_lazy("removed a limit"),
    "create_deployment": gettext_lazy("added a generator"), "change_deployment": gettext_lazy("changed a generator"), "delete_deployment": gettext_lazy("deleted a generator"),
    "create_key": gettext_lazy("made a key"), "revoke_key": gettext_lazy("revoked a key"), "delete_key": gettext_lazy("deleted a key"),
    "delete_turn": gettext_lazy("deleted turns"), "delete_conversation": gettext_lazy("deleted conversations"), "delete_feedback": gettext_lazy("deleted feedback"),
    "save_documents": gettext_lazy("saved documents"), "delete_documents": gettext_lazy("deleted documents"),
    "save_gold_set": gettext_lazy("kept a gold set"), "delete_gold_set": gettext_lazy("deleted a gold set"),
    "forget_sources": gettext_lazy("had sources read anew"),
    "save_questions": gettext_lazy("saved questions of a passage"), "change_ingest_policy": gettext_lazy("changed the ingest policy"),
}  # fmt: skip
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


@admin.register(User)
class UserAdmin(RecordsRoles, DjangoUserAdmin):
    """People. Only superusers may touch superusers."""

    needs: ClassVar[Mapping[str, Permission | None]] = MANAGED
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    inlines = (MembershipInline,)
    list_display = ("person", "role_badge", "single_roles", "email", "is_active", "is_staff", "last_login")
    list_filter = ("role", "is_active", "is_staff")
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Person"), {"fields": ("first_name", "last_name", "email")}),
        (gettext_lazy("Access"), {"fields": ("role", "is_active", "is_staff", "is_superuser")}),
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

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record(
            caller_of(request), "change_user" if change else "create_user", target=obj.username, details={"fields": list(form.changed_data)}
        )

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        record(caller_of(request), "delete_user", target=obj.username)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            self.delete_model(request, user)


class _OfManagedBases(ScopedAdmin):
    """Rows of the knowledge bases that the reader manages; their forms offer no others."""

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


@admin.register(Membership)
class MembershipAdmin(_OfManagedBases):
    """Who has which role where."""

    list_display = ("user", "kb", "role_badge")
    list_filter = ("role",)
    list_select_related = ("user", "kb")
    search_fields = ("user__username", "user__first_name", "user__last_name", "kb__name", "kb__slug")

    @display(description=gettext_lazy("role"), ordering="role", label=ROLE_COLOURS)
    def role_badge(self, obj: Membership) -> tuple[str, str]:
        return obj.role, str(obj.get_role_display())

    def save_model(self, request: HttpRequest, obj: Membership, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record(caller_of(request), "set_role", target=obj.user.username, kb=obj.kb.slug, details={"role": obj.role})

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        record(caller_of(request), "remove_role", target=obj.user.username, kb=obj.kb.slug)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset:
            self.delete_model(request, membership)


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
class ApiKeyAdmin(_OfManagedBases):
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

    @display(description=gettext_lazy("role"), ordering="role", label=ROLE_COLOURS)
    def role_badge(self, obj: ApiKey) -> tuple[str, str]:
        return obj.role, str(obj.get_role_display())

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

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.select_related("kb"):
            self.delete_model(request, key)


class ActionFilter(DropdownFilter):
    """The kinds of change that were made so far."""

    title, parameter_name = gettext_lazy("action"), "did"

    def lookups(self, request: HttpRequest, model_admin: ScopedAdmin) -> list[tuple[str, str]]:
        done = model_admin.get_queryset(request).order_by("action").values_list("action", flat=True).distinct()
        return [(name, str(ACTIONS.get(name, name))) for name in done]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what, and when. Nobody edits or deletes it."""

    kb_lookup = "kb_slug"
    actor_field = "actor"
    list_display = ("at", "who", "action_badge", "target", "kb_slug")
    list_filter = (ActionFilter, "kb_slug")
    list_filter_submit = True
    search_fields = ("actor", "target", "kb_slug", "action")
    date_hierarchy = "at"
    fields = ("at", "who", "action", "target", "kb_slug", "details")

    def kb_ids_of(self, obj: AuditEntry) -> list[int | None]:
        base = Membership._meta.get_field("kb").related_model.objects.filter(slug=obj.kb_slug).first() if obj.kb_slug else None
        return [base.pk if base else None]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """Everything for administrators; what happened in their own knowledge bases for who manages some."""
        ids = kb_ids_where(caller_of(request), Permission.MANAGE)
        rows = AuditEntry.objects.all()
        return rows if ids is None else rows.filter(kb_slug__in=Membership.objects.filter(kb__in=ids).values("kb__slug"))

    @display(description=gettext_lazy("who"), ordering="actor")
    def who(self, obj: AuditEntry) -> str:
        return self.actor_of(obj)

    @display(description=gettext_lazy("did"), ordering="action", label=True)
    def action_badge(self, obj: AuditEntry) -> str:
        return str(ACTIONS.get(obj.action, obj.action))
