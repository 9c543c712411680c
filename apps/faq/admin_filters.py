"""Which FAQs a list shows: filters that offer only what the reader may see."""

from __future__ import annotations

from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from apps.faq.models import FAQ
from apps.retrieval.models import LOCALE_CHOICES


class LocaleFilter(DropdownFilter):
    """Chinese or English."""

    title, parameter_name = gettext_lazy("language"), "locale"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in LOCALE_CHOICES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> QuerySet[FAQ]:
        return queryset.filter(locale=self.value()) if self.value() else queryset


class ValidityFilter(DropdownFilter):
    """Whether the dates let an FAQ answer today."""

    title, parameter_name = gettext_lazy("validity"), "valid"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("now", _("Valid now")), ("expired", _("Expired")), ("upcoming", _("Not valid yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> QuerySet[FAQ]:
        now = timezone.now()
        wanted = {
            "expired": Q(valid_until__lt=now),
            "upcoming": Q(valid_from__gt=now),
            "now": (Q(valid_from=None) | Q(valid_from__lte=now)) & (Q(valid_until=None) | Q(valid_until__gte=now)),
        }.get(str(self.value()))
        return queryset.filter(wanted) if wanted is not None else queryset
