"""The panel's pages for limits and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from apps.accounts.audit import record
from apps.accounts.charts import DayBar, stack_bars
from apps.accounts.limits import forget_limits
from apps.accounts.models import Limit, UsageDay
from apps.accounts.panel import ReadOnlyAdmin, ScopedAdmin, actor_names, caller_of
from apps.accounts.permissions import Permission
from apps.accounts.usage import flush_usage
from apps.accounts.usage_report import GroupBy, Measure, Total, add_up, grouped, last_days, totals_by, usage_since

SPANS = (14, 30, 90)
MOST_SHOWN = 5
_NUMBERS = ("requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day")


class LimitForm(forms.ModelForm):
    """A limit is of one key or of one bot, and limits something."""

    class Meta:
        model = Limit
        fields = ("key", "bot", *_NUMBERS)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.instance._state.adding and bool(data.get("key")) == bool(data.get("bot")):
            self.add_error("key", _("Choose a key or a bot, one of them."))
        if not self.errors and not any(data.get(name) for name in _NUMBERS):
            self.add_error("requests_per_minute", _("Set at least one limit, of 1 or more."))
        return data


@admin.register(Limit)
class LimitAdmin(ScopedAdmin):
    """How much single keys and bots may use. For administrators of the installation."""

    needs: ClassVar[Mapping[str, Permission | None]] = dict.fromkeys(("view", "add", "change", "delete"), Permission.MANAGE)
    form = LimitForm
    list_display = ("whose", *_NUMBERS)
    list_select_related = ("key", "bot")
    fieldsets = (
        (None, {"fields": (("key", "bot"),)}),
        (
            gettext_lazy("Requests"),
            {"fields": (("requests_per_minute", "requests_per_day"),), "description": gettext_lazy("Empty sets no limit.")},
        ),
        (gettext_lazy("Tokens, asked and answered"), {"fields": (("tokens_per_minute", "tokens_per_day"),)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Limit | None = None) -> tuple[str, ...]:
        return ("key", "bot") if obj is not None else ()

    def get_fieldsets(self, request: HttpRequest, obj: Limit | None = None) -> Any:
        whose = ("key",) if obj is not None and obj.key_id else ("bot",) if obj is not None else (("key", "bot"),)
        return ((None, {"fields": whose}), *self.fieldsets[1:])

    @display(description=gettext_lazy("whose"))
    def whose(self, obj: Limit) -> str:
        return _("key %(name)s") % {"name": obj.key} if obj.key is not None else _("bot %(name)s") % {"name": obj.bot}

    def save_model(self, request: HttpRequest, obj: Limit, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record(caller_of(request), "set_limit", target=str(obj), details={name: getattr(obj, name) for name in _NUMBERS})
        forget_limits()

    def delete_model(self, request: HttpRequest, obj: Limit) -> None:
        record(caller_of(request), "remove_limit", target=str(obj))
        super().delete_model(request, obj)
        forget_limits()


@admin.register(UsageDay)
class UsageAdmin(ReadOnlyAdmin):
    """Requests, tokens and times by bot, model and caller. For administrators of the installation."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """One page with a chart; `by`, `show` and `days` choose what it shows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        group = _choice(request, "by", GroupBy, GroupBy.MODEL)
        measure = _choice(request, "show", Measure, Measure.REQUESTS)
        span = next((days for days in SPANS if str(days) == request.GET.get("days")), SPANS[0])
        flush_usage()
        days = last_days(span)
        rows = usage_since(days[0])
        totals = totals_by(group, rows, measure)
        named = _named(group, totals)
        total = add_up("", rows)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Usage"),
            "total": total,
            "figures": _figures(total),
            "heading": _("requests a day") if measure is Measure.REQUESTS else _("tokens a day"),
            "totals": named,
            "shown": [total.name for total in named[:MOST_SHOWN]] + ([_("others")] if len(named) > MOST_SHOWN else []),
            "chart": stack_bars(_bars(days, rows, group, measure, [total.name for total in totals[:MOST_SHOWN]])),
            "choices": _links(group, measure, span),
            "by_caller": group is GroupBy.CALLER,
        }
        return TemplateResponse(request, "admin/accounts/usage.html", context)


def _figures(total: Total) -> list[tuple[str, str]]:
    """The sums of everything, as the page's first line shows them."""
    times = ((name, "–" if ms is None else f"{ms:,.0f} ms") for name, ms in (("p50", total.p50_ms), ("p95", total.p95_ms)))
    sums = ((_("requests"), total.requests), (_("tokens in"), total.prompt_tokens), (_("tokens out"), total.completion_tokens))
    return [*((label, f"{value:,}") for label, value in sums), *times]


def _choice(request: HttpRequest, name: str, kind: Any, default: Any) -> Any:
    given = request.GET.get(name)
    return kind(given) if given in list(kind) else default


def _named(group: GroupBy, totals: Sequence[Total]) -> list[Total]:
    """The sums under names that people know."""
    if group is GroupBy.MODEL:
        return list(totals)
    names = actor_names(total.name for total in totals)
    return [replace(total, name=names.get(total.name, total.name) or _("people who are not signed in")) for total in totals]


def _bars(days: Sequence[Any], rows: Sequence[UsageDay], group: GroupBy, measure: Measure, largest: Sequence[str]) -> list[DayBar]:
    """Each day's values of the largest, the others together on top."""
    bars, by_day = [], grouped(rows, "day")
    for day in days:
        of_day = by_day.get(day, [])
        own = grouped(of_day, group.value)
        values = [add_up(name, own.get(name, [])).of(measure) for name in largest]
        total = add_up("", of_day)
        title = _("%(day)s: %(requests)d requests, %(tokens)d tokens") % {
            "day": day.isoformat(),
            "requests": total.requests,
            "tokens": total.tokens,
        }
        bars.append(DayBar(day, (*values, total.of(measure) - sum(values)), title))
    return bars


def _links(group: GroupBy, measure: Measure, span: int) -> list[list[dict[str, object]]]:
    """The three rows of choices, each with what is chosen."""
    chosen = {"by": group.value, "show": measure.value, "days": str(span)}
    offered = {
        "by": [(GroupBy.MODEL.value, _("By bot and model")), (GroupBy.CALLER.value, _("By key and person"))],
        "show": [(Measure.REQUESTS.value, _("Requests")), (Measure.TOKENS.value, _("Tokens"))],
        "days": [(str(days), _("%(count)d days") % {"count": days}) for days in SPANS],
    }
    return [
        [{"label": label, "query": urlencode({**chosen, name: value}), "chosen": chosen[name] == value} for value, label in choices]
        for name, choices in offered.items()
    ]
