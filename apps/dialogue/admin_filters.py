"""Filters over what was said to bots."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from apps.accounts.panel import caller_of
from apps.accounts.permissions import Permission
from apps.dialogue.admin_bots import bots_where
from apps.dialogue.explaining import skill_name
from apps.dialogue.models import Turn


class BotFilter(DropdownFilter):
    """Bots that the reader may look into."""

    title, parameter_name = gettext_lazy("bot"), "bot"
    lookup = "bot__slug"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return list(bots_where(caller_of(request), Permission.EDIT).values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.lookup: self.value()}) if self.value() else queryset


class TurnBotFilter(BotFilter):
    lookup = "conversation__bot__slug"


class FeedbackBotFilter(BotFilter):
    lookup = "turn__conversation__bot__slug"


class SkillFilter(DropdownFilter):
    """Skills that have answered something."""

    title, parameter_name = gettext_lazy("skill"), "skill"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        used = Turn.objects.exclude(skill="").order_by("skill").values_list("skill", flat=True).distinct()
        return [(name, skill_name(name)) for name in used]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Turn]) -> QuerySet[Turn]:
        return queryset.filter(skill=self.value()) if self.value() else queryset


class AnsweredFilter(DropdownFilter):
    """Whether there was an answer, and how the turn ended."""

    title, parameter_name = gettext_lazy("outcome"), "outcome"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("answered", _("Answered")), ("unanswered", _("Not answered")), ("failed", _("Failed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Turn]) -> QuerySet[Turn]:
        match self.value():
            case "answered":
                return queryset.filter(answered=True)
            case "unanswered":
                return queryset.filter(answered=False, state=Turn.State.FINISHED)
            case "failed":
                return queryset.filter(state=Turn.State.FAILED)
        return queryset


class VoteFilter(DropdownFilter):
    """What readers thought of it."""

    title, parameter_name = gettext_lazy("vote"), "vote"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("1", _("Helpful")), ("-1", _("Not helpful")), ("none", _("No vote"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Turn]) -> QuerySet[Turn]:
        match self.value():
            case "1" | "-1" as vote:
                return queryset.filter(feedback__vote=int(vote))
            case "none":
                return queryset.filter(feedback=None)
        return queryset
