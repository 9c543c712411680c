"""The panel's pages of the audit trail."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from apps.accounts.models import AuditEntry, Membership
from apps.accounts.panel import ReadOnlyAdmin, ScopedAdmin, caller_of, kb_ids_where
from apps.accounts.permissions import Permission

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
