"""Which rows does a list of the panel show? Filters that every kind of content has; they offer only what the reader may see."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from apps.accounts.panel import caller_of, within
from apps.accounts.permissions import Permission
from apps.retrieval.models import KnowledgeBase

MAX_CATEGORIES = 500


class KnowledgeBaseFilter(DropdownFilter):
    """Readable knowledge bases, by slug so that links can be read."""

    title, parameter_name = gettext_lazy("knowledge base"), "kb"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return list(within(KnowledgeBase.objects.all(), caller_of(request), Permission.READ, "pk").values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kb__slug=self.value()) if self.value() else queryset


class StatusFilter(DropdownFilter):
    """Steps of the life cycle; the tabs above the list set it too."""

    title, parameter_name = gettext_lazy("status"), "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in model_admin.model._meta.get_field("status").choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class CategoryFilter(DropdownFilter):
    """Categories in use, and what is without one."""

    title, parameter_name = gettext_lazy("category"), "category"
    without = "-"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        used = model_admin.get_queryset(request).exclude(category="").order_by("category").values_list("category", flat=True).distinct()
        return [(self.without, _("Without category")), *[(name, name) for name in used[:MAX_CATEGORIES]]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value()
        return queryset.filter(category="" if wanted == self.without else wanted) if wanted else queryset
