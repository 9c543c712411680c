"""Which documents does the panel's list show?"""

from __future__ import annotations

from collections import Counter

from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from apps.retrieval.documents.selectors import listing
from apps.retrieval.models import LOCALE_CHOICES, Document

MAX_TAGS = 200
TAGS_OF = 5000  # the newest documents, whose tags are offered


class LanguageFilter(DropdownFilter):
    """Languages in use."""

    title, parameter_name = gettext_lazy("language"), "language"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        known = {value: str(label) for value, label in LOCALE_CHOICES}
        used = model_admin.get_queryset(request).exclude(language="").order_by("language").values_list("language", flat=True).distinct()
        return [(code, known.get(code, code)) for code in used]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Document]) -> QuerySet[Document]:
        return queryset.filter(language=self.value()) if self.value() else queryset


class TagFilter(DropdownFilter):
    """The tags of the newest documents, the most frequent first, and documents without any."""

    title, parameter_name = gettext_lazy("tag"), "tag"
    without = "-"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        newest = model_admin.get_queryset(request).order_by("-pk").values_list("tags", flat=True)[:TAGS_OF]
        counts = Counter(tag for tags in newest for tag in tags)
        return [(self.without, _("Without tags")), *[(tag, tag) for tag, _count in counts.most_common(MAX_TAGS)]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Document]) -> QuerySet[Document]:
        wanted = self.value()
        if not wanted:
            return queryset
        return queryset.filter(tags=[]) if wanted == self.without else listing(queryset, "tags", [str(wanted)])
