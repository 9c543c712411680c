"""Admin pages for knowledge bases and the generations of their indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.decorators import display

from apps.accounts.admin_roles import MembershipInline, RecordsRoles
from apps.accounts.audit import record
from apps.accounts.panel import SLUG_HELP, caller_of
from apps.accounts.permissions import Permission
from apps.retrieval.documents.admin import DocumentAdmin
from apps.retrieval.documents.admin_ingestions import IngestionAdmin
from apps.retrieval.documents.admin_policies import IngestPolicyAdmin
from apps.retrieval.models import IndexGeneration, KnowledgeBase
from apps.retrieval.panel.contents import CONTENTS, Content, ContentCount
from apps.retrieval.query_layer.admin import QueryLayerAdmin

__all__ = ["DocumentAdmin", "IngestPolicyAdmin", "IngestionAdmin", "KnowledgeBaseAdmin", "QueryLayerAdmin"]


class GenerationInline(TabularInline):
    """The builds of the vector index; made by `manage.py reindex`, not by hand."""

    model = IndexGeneration
    extra = 0
    can_delete = False
    tab = True
    fields = readonly_fields = ("number", "encoder", "status", "created_at", "activated_at")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def _never(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_add_permission = has_change_permission = has_delete_permission = _never


class RolesTab(MembershipInline):
    """Who has which role in the knowledge base."""

    tab = True
    verbose_name_plural = gettext_lazy("People")


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(RecordsRoles):
    """Knowledge bases: who may see them, how much is in them, how far the index is."""

    kb_lookup = "pk"
    needs: ClassVar[Mapping[str, Permission | None]] = {
        "view": Permission.READ, "add": Permission.MANAGE, "change": Permission.MANAGE, "delete": Permission.MANAGE,
    }  # fmt: skip
    list_display = ("title", "contents", "locale", "revision", "index", "links")
    search_fields = ("name", "slug", "description")
    prepopulated_fields: ClassVar[dict[str, Sequence[str]]] = {"slug": ("name",)}
    inlines = (RolesTab, GenerationInline)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A new knowledge base belongs to nobody yet: administrators of everything make it."""
        return bool(request.user.is_staff) and caller_of(request).may(Permission.MANAGE)

    def get_fieldsets(self, request: HttpRequest, obj: KnowledgeBase | None = None) -> list[tuple[Any, dict[str, Any]]]:
        fields: list[tuple[Any, dict[str, Any]]] = [(None, {"fields": ["name", "slug", "description", ("locale", "open_search")]})]
        if obj is not None:
            fields.append((_("What is in it"), {"fields": ["contents", ("revision", "created_at")]}))
        return fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form; of something new, it says what a slug is for."""
        return super().get_form(request, obj, change=change, **{**kwargs, "help_texts": {"slug": SLUG_HELP}})

    def get_readonly_fields(self, request: HttpRequest, obj: KnowledgeBase | None = None) -> tuple[str, ...]:
        return ("slug", "contents", "revision", "created_at") if obj is not None else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: KnowledgeBase | None = None) -> dict[str, Sequence[str]]:
        return {} if obj is not None else self.prepopulated_fields

    def get_inlines(self, request: HttpRequest, obj: KnowledgeBase | None) -> tuple[type, ...]:
        return self.inlines if obj is not None else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[KnowledgeBase]:
        return super().get_queryset(request).prefetch_related("generations")

    def prepare_rows(self, request: HttpRequest, rows: Sequence[KnowledgeBase]) -> None:
        counts = [(content, content.count([kb.pk for kb in rows])) for content in CONTENTS]
        for kb in rows:
            kb.panel_counts = [(content, found.get(kb.pk, [])) for content, found in counts]

    @display(description=gettext_lazy("knowledge base"), header=True, ordering="name")
    def title(self, obj: KnowledgeBase) -> list[str]:
        return [obj.name, obj.slug]

    @display(description=gettext_lazy("content"))
    def contents(self, obj: KnowledgeBase) -> SafeString:
        counts = getattr(obj, "panel_counts", None)
        if counts is None:
            counts = [(content, content.count([obj.pk]).get(obj.pk, [])) for content in CONTENTS]
        return format_html_join(" ", "{}", ((_contents_line(obj, content, found),) for content, found in counts))

    @display(description=gettext_lazy("active index"))
    def index(self, obj: KnowledgeBase) -> str:
        active = next((row for row in obj.generations.all() if row.status == IndexGeneration.Status.ACTIVE), None)
        if active is None:
            return _("none yet")
        return format_html('<span title="{}">{}</span>', active.encoder, _("generation %(number)d") % {"number": active.number})

    @display(description="")
    def links(self, obj: KnowledgeBase) -> SafeString:
        address = reverse("search-page", args=[obj.slug])
        return format_html('<span class="panel-links"><a href="{}" target="_blank">{}</a></span>', address, _("Search"))

    def save_model(self, request: HttpRequest, obj: KnowledgeBase, form: forms.ModelForm, change: bool) -> None:
        """Saves what the form changed and nothing else: the revision moves on meanwhile."""
        if not change:
            obj.save()
        elif form.changed_data:
            obj.save(update_fields=[name for name in form.changed_data if name in form.Meta.fields])
        record(
            caller_of(request),
            "change_kb" if change else "create_kb",
            target=obj.slug,
            kb=obj.slug,
            details={"fields": list(form.changed_data)},
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Names and numbers only: a knowledge base may hold a hundred thousand rows."""
        objs = list(objs)
        counts = {
            str(content.title): sum(row.count for rows in content.count([kb.pk for kb in objs]).values() for row in rows)
            for content in CONTENTS
        }
        refused = any(not self.has_delete_permission(request, kb) for kb in objs)
        return [self.named(kb) for kb in objs], counts, {str(self.opts.verbose_name)} if refused else set(), []

    def delete_model(self, request: HttpRequest, obj: KnowledgeBase) -> None:
        """Content goes the way that each kind of it goes; then the knowledge base itself."""
        caller = caller_of(request)
        for content in CONTENTS:
            content.delete(obj, caller)
        record(caller, "delete_kb", target=obj.slug, kb=obj.slug)
        obj.delete()


def _contents_line(kb: KnowledgeBase, content: Content, counts: list[ContentCount]) -> SafeString:
    """One kind of content: its name, and a badge a state."""
    every = f"{reverse(content.list_name)}?kb={kb.slug}"
    badges = format_html_join(
        "",
        '<a class="panel-count panel-{}" href="{}">{} <b>{}</b></a>',
        ((row.colour or "plain", row.url, row.label, row.count) for row in counts),
    )
    return format_html(
        '<span class="panel-counts"><a class="panel-count panel-title" href="{}">{}</a>{}</span>',
        every,
        content.title,
        badges or _("nothing yet"),
    )
