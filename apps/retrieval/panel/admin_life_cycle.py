"""What do the panel's pages of FAQs and documents share? A life cycle: its tabs, who may take which step, what is said of a save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.db import transaction
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from apps.accounts.panel import ScopedAdmin, caller_of, kb_ids_where
from apps.accounts.permissions import ANYBODY, Caller, Permission
from apps.accounts.refusals import in_words
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import follower
from apps.retrieval.panel.contents import ContentCount
from core.errors import QAError

DRAFT, IN_REVIEW, PUBLISHED, ARCHIVED = "draft", "in_review", "published", "archived"
STATUS_COLOURS = {DRAFT: "", IN_REVIEW: "warning", PUBLISHED: "success", ARCHIVED: "danger"}


class LifeCycleForm(forms.ModelForm):
    """A form of content, with the steps that the role of `caller` may take."""

    caller: ClassVar[Caller] = ANYBODY

    def offer_statuses(self) -> None:
        """What the role may choose; new content begins where the role's work usually ends."""
        field = self.fields.get("status")
        if field is None:
            return
        stored = self.instance if self.instance.pk else None
        may_publish = self.caller.may(Permission.PUBLISH, stored.kb_id) if stored else kb_ids_where(self.caller, Permission.PUBLISH) != []
        field.choices = [(value, label) for value, label in steps_of(type(self.instance)) if may_publish or value != PUBLISHED]
        if stored is None:
            self.initial["status"] = PUBLISHED if may_publish else IN_REVIEW


class LifeCycleAdmin(ScopedAdmin):
    """Content of the knowledge bases that the reader may see; what is published is changed by who may publish.

    `said_when_saved` has a sentence for each status, with a place for the content's name. Subclasses say what `set_status`
    and `erase` do, how `load` reads rows for them (`at_once` at a time), and what is said of those that moved.
    """

    kb_lookup = "kb_id"
    at_once: ClassVar[int] = 100
    said_when_saved: ClassVar[Mapping[str, str | Promise]]
    actions: ClassVar[Sequence[str]] = ("publish", "send_to_review", "archive", "back_to_draft")

    def set_status(self, kb: KnowledgeBase, rows: Sequence[Any], status: str, caller: Caller) -> int:
        """Moves the rows; how many changed."""
        raise NotImplementedError

    def erase(self, kb: KnowledgeBase, rows: Sequence[Any], caller: Caller) -> None:
        """Deletes the rows with what belongs to them."""
        raise NotImplementedError

    def load(self) -> QuerySet[Any]:
        """All rows, with what moving or deleting them needs."""
        raise NotImplementedError

    def moved(self, count: int) -> str:
        """The sentence about so many rows that moved, with places for `count` and `status`."""
        raise NotImplementedError

    def again(self, obj: Any) -> dict[str, Any]:
        """What the form of the next new row begins with, after this one."""
        return {"kb": obj.kb_id, "category": obj.category}

    def name_of(self, obj: Any) -> str:
        """How messages name the row."""
        return str(obj)

    # The list

    @display(description=gettext_lazy("status"), ordering="status", label=STATUS_COLOURS)
    def status_badge(self, obj: Any) -> tuple[str, str]:
        return obj.status, str(obj.get_status_display())

    @display(description=gettext_lazy("knowledge base"), ordering="kb__name")
    def base(self, obj: Any) -> str:
        return str(obj.kb)

    def get_list_display(self, request: HttpRequest) -> list[str]:
        several = not request.GET.get("kb") and KnowledgeBase.objects.all()[:2].count() > 1
        return [name for name in self.list_display if name != "base" or several]

    def status_tabs(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The steps of the life cycle with their counts, each a link that keeps the other filters."""
        kept = {name: value for name, value in request.GET.items() if name not in ("status", "p", "all")}
        rows = self.get_queryset(request).prefetch_related(None)
        if kept.get("kb"):
            rows = rows.filter(kb__slug=kept["kb"])
        counts = dict(rows.order_by().values_list("status").annotate(Count("pk")))
        tabs = [("", _("All"), sum(counts.values())), *[(value, label, counts.get(value, 0)) for value, label in steps_of(self.model)]]
        chosen = request.GET.get("status", "")
        return [
            {
                "label": label,
                "count": count,
                "active": value == chosen,
                "url": "?" + urlencode({**kept, **({"status": value} if value else {})}),
            }
            for value, label, count in tabs
        ]

    # Who may

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What is published is changed by who may publish."""
        published = isinstance(obj, self.model) and obj.status == PUBLISHED
        if published and not caller_of(request).may(Permission.PUBLISH, obj.kb_id):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return kb_ids_where(caller_of(request), Permission.PUBLISH) != []

    # Saving

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"caller": caller_of(request)})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form has saved it already; indexes are told once it is committed."""
        transaction.on_commit(follower().wake)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return self._saved(request, obj)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return self._saved(request, obj)

    def _saved(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Says what the save means for readers, then goes where the button says."""
        pages = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        url = reverse(f"{pages}_change", args=[obj.pk])
        link = format_html('<a href="{}" class="underline">{}</a>', url, Truncator(self.name_of(obj)).chars(60))
        messages.success(request, format_html(str(self.said_when_saved[obj.status]), link))
        if "_addanother" in request.POST:
            return HttpResponseRedirect(f"{reverse(f'{pages}_add')}?{urlencode(self.again(obj))}")
        if "_continue" in request.POST:
            preserved = {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts}
            return HttpResponseRedirect(add_preserved_filters(preserved, url))
        return self.response_post_save_change(request, obj)

    # Deleting

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.erase(obj.kb, [obj], caller_of(request))
        transaction.on_commit(follower().wake)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for kb, rows in by_base(queryset, self.load(), at_once=self.at_once):
            self.erase(kb, rows, caller_of(request))
        transaction.on_commit(follower().wake)

    # Steps of the life cycle

    @admin.action(description=gettext_lazy("Publish"), permissions=["publish"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """They answer, and are found, from now on."""
        self.move(request, queryset, PUBLISHED)

    @admin.action(description=gettext_lazy("Send to review"), permissions=["change"])
    def send_to_review(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """They wait for a reviewer and do not answer."""
        self.move(request, queryset, IN_REVIEW)

    @admin.action(description=gettext_lazy("Archive"), permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """They are kept but no longer answer."""
        self.move(request, queryset, ARCHIVED)

    @admin.action(description=gettext_lazy("Back to draft"), permissions=["change"])
    def back_to_draft(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """They are worked on again and do not answer."""
        self.move(request, queryset, DRAFT)

    def move(self, request: HttpRequest, queryset: QuerySet[Any], status: str) -> None:
        """Moves the rows, one knowledge base after the other, and says what became of them."""
        changed = 0
        for kb, rows in by_base(queryset, self.load(), at_once=self.at_once):
            try:
                changed += self.set_status(kb, rows, status, caller_of(request))
            except QAError as error:
                messages.error(request, f"{kb}: {in_words(error.message)}")
        messages.success(request, self.moved(changed) % {"count": changed, "status": dict(steps_of(self.model))[status]})


def steps_of(model: type[Model]) -> list[tuple[str, str]]:
    """The steps of the model's life cycle: value and name."""
    return [(value, str(label)) for value, label in model._meta.get_field("status").choices or ()]


def by_base(chosen: QuerySet[Any], load: QuerySet[Any], *, at_once: int) -> Iterator[tuple[KnowledgeBase, list[Any]]]:
    """The chosen rows by knowledge base, read by `load`, so many at a time."""
    ids = sorted(chosen.order_by().values_list("kb_id", "pk"))
    for kb_id, rows in groupby(ids, key=lambda row: row[0]):
        kb, pks = KnowledgeBase.objects.get(pk=kb_id), [pk for _kb, pk in rows]
        for start in range(0, len(pks), at_once):
            yield kb, list(load.filter(pk__in=pks[start : start + at_once]))


def count_by_status(model: type[Any], kb_ids: Sequence[int]) -> Mapping[int, list[ContentCount]]:
    """How many rows each knowledge base has at each step of the life cycle; one query."""
    rows = model.objects.filter(kb__in=kb_ids).order_by().values_list("kb_id", "kb__slug", "status").annotate(Count("pk"))
    names, found = dict(steps_of(model)), dict[int, dict[str, ContentCount]]()
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    for kb_id, slug, status, count in rows:
        url = f"{page}?{urlencode({'kb': slug, 'status': status})}"
        found.setdefault(kb_id, {})[status] = ContentCount(label=names[status], count=count, url=url, colour=STATUS_COLOURS[status])
    order = (PUBLISHED, IN_REVIEW, DRAFT, ARCHIVED)
    return {kb_id: [counts[status] for status in order if status in counts] for kb_id, counts in found.items()}
