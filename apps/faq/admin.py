"""The admin page where curators work on FAQs. Every change goes through `apps.faq.services`, so indexes and audit follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import date as format_date
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from apps.accounts.permissions import Caller
from apps.faq.admin_exchange import FileExchangeAdmin, exports_of
from apps.faq.admin_filters import LocaleFilter, ValidityFilter
from apps.faq.admin_forms import FAQForm
from apps.faq.models import FAQ, FAQQuestion, FAQStatus
from apps.faq.services import delete_faqs, row_of, set_status
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.panel.admin_filters import CategoryFilter, KnowledgeBaseFilter, StatusFilter
from apps.retrieval.panel.admin_life_cycle import by_base, count_by_status
from apps.retrieval.panel.contents import CONTENTS, Content

MOST_PUBLISHED_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Titled:
    """An FAQ as the page's header names it: by its question instead of its id."""

    pk: int
    title: str
    _meta: Any

    def __str__(self) -> str:
        return self.title


@admin.register(FAQ)
class FAQAdmin(FileExchangeAdmin):
    """FAQs of the knowledge bases that the reader may see."""

    at_once = 500
    said_when_saved: ClassVar[Mapping[str, str | Promise]] = {
        "published": gettext_lazy("Saved and published: “{}” answers from now on."),
        "in_review": gettext_lazy("Saved: “{}” waits for a reviewer."),
        "draft": gettext_lazy("Saved as a draft: “{}”."),
        "archived": gettext_lazy("Saved in the archive: “{}” does not answer."),
    }
    actor_field = "updated_by"
    form = FAQForm
    list_display: ClassVar[Sequence[str]] = (
        "question",
        "status_badge",
        "category",
        "phrasing_count",
        "locale",
        "base",
        "validity",
        "changed",
    )
    list_display_links = ("question",)
    list_filter = (StatusFilter, KnowledgeBaseFilter, CategoryFilter, LocaleFilter, ValidityFilter)
    list_filter_submit = True
    list_select_related = ("kb",)
    list_before_template = "admin/faq/faq/status_tabs.html"
    search_fields = ("questions__text", "answer", "external_id")
    search_help_text = gettext_lazy("Words of a question or an answer, or an id")
    ordering = ("-updated_at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FAQ]:
        return super().get_queryset(request).prefetch_related("questions")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[FAQ], search_term: str) -> tuple[QuerySet[FAQ], bool]:
        """Rows where each word occurs in a phrasing, the answer or the id; no join, so no row comes twice."""
        for word in search_term.split():
            phrased = Exists(FAQQuestion.objects.filter(faq=OuterRef("pk"), text__icontains=word))
            queryset = queryset.filter(Q(answer__icontains=word) | Q(external_id__icontains=word) | phrased)
        return queryset, False

    # What the list shows

    @display(description=gettext_lazy("question and answer"), header=True)
    def question(self, obj: FAQ) -> list[str]:
        return [Truncator(_canonical(obj)).chars(90), Truncator(" ".join(obj.answer[:400].split())).chars(100)]

    @display(description=gettext_lazy("phrasings"))
    def phrasing_count(self, obj: FAQ) -> int:
        return len(obj.questions.all())

    @display(description=gettext_lazy("validity"), ordering="valid_until", label={"expired": "danger", "upcoming": "info"}, empty_value="–")
    def validity(self, obj: FAQ) -> tuple[str, str] | None:
        now = timezone.now()
        if obj.valid_until and obj.valid_until < now:
            return "expired", _("Expired")
        if obj.valid_from and obj.valid_from > now:
            return "upcoming", _("From %(day)s") % {"day": format_date(timezone.localtime(obj.valid_from), "Y-m-d")}
        return (
            ("until", _("Until %(day)s") % {"day": format_date(timezone.localtime(obj.valid_until), "Y-m-d")}) if obj.valid_until else None
        )

    @display(description=gettext_lazy("changed"), ordering="updated_at", header=True)
    def changed(self, obj: FAQ) -> list[str]:
        return [format_date(timezone.localtime(obj.updated_at), "Y-m-d H:i"), self.actor_of(obj)]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = {"status_tabs": lambda: self.status_tabs(request), "exports": exports_of(request)}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    # The form

    def get_fieldsets(self, request: HttpRequest, obj: FAQ | None = None) -> list[tuple[Any, dict[str, Any]]]:
        fields = [(None, {"fields": ["kb", "phrasings", "answer"] if obj is None else ["phrasings", "answer"]})]
        fields.append((_("How it is filed"), {"fields": [("category", "locale"), "status", "valid_from", "valid_until", "external_id"]}))
        if obj is not None:
            fields[1][1]["fields"].append("seen_version")
            fields.append((_("History"), {"fields": [("kb", "version"), ("created_at", "changed_by")], "classes": ["collapse"]}))
        return fields

    def get_readonly_fields(self, request: HttpRequest, obj: FAQ | None = None) -> tuple[str, ...]:
        return ("kb", "external_id", "version", "created_at", "changed_by") if obj is not None else ()

    @display(description=gettext_lazy("questions"))
    def phrasings(self, obj: FAQ) -> str:
        return "\n".join(row_of(obj).questions)

    @display(description=gettext_lazy("changed"))
    def changed_by(self, obj: FAQ) -> str:
        return f"{format_date(timezone.localtime(obj.updated_at), 'Y-m-d H:i')} · {self.actor_of(obj)}"

    def seen_version(self, obj: FAQ) -> int:
        return obj.version

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        titled = {}
        if object_id and (faq := self.get_object(request, object_id)):
            titled = {
                "title": _canonical(faq),
                "subtitle": None,
                "original": Titled(faq.pk, Truncator(_canonical(faq)).chars(60), faq._meta),
            }
        return super().changeform_view(request, object_id, form_url, {**titled, **(extra_context or {})})

    def name_of(self, obj: FAQ) -> str:
        return _canonical(FAQ.objects.get(pk=obj.pk))

    def again(self, obj: FAQ) -> dict[str, Any]:
        return {**super().again(obj), "locale": obj.locale}

    # Deleting and the life cycle

    def named(self, obj: FAQ) -> str:
        return f"{_canonical(obj)} ({obj.external_id})"

    @admin.action(description=gettext_lazy("Publish"), permissions=["publish"])
    def publish(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> None:
        """They answer from now on."""
        if (count := queryset.count()) > MOST_PUBLISHED_AT_ONCE:
            text = _("%(count)d FAQs are too many to publish at once (at most %(most)d). Choose fewer, or import a file.")
            messages.error(request, text % {"count": count, "most": MOST_PUBLISHED_AT_ONCE})
            return
        super().publish(request, queryset)

    def set_status(self, kb: KnowledgeBase, rows: Sequence[FAQ], status: str, caller: Caller) -> int:
        return set_status(kb, rows, FAQStatus(status), caller)

    def erase(self, kb: KnowledgeBase, rows: Sequence[FAQ], caller: Caller) -> None:
        delete_faqs(kb, rows, caller)

    def load(self) -> QuerySet[FAQ]:
        return _whole()

    def moved(self, count: int) -> str:
        return ngettext("%(count)d FAQ is now “%(status)s”.", "%(count)d FAQs are now “%(status)s”.", count)


def _canonical(faq: FAQ) -> str:
    """The phrasing that readers see; the id where there is none."""
    questions = row_of(faq).questions
    return questions[0] if questions else faq.external_id


def _whole() -> QuerySet[FAQ]:
    """FAQs with their phrasings."""
    return FAQ.objects.select_related("kb").prefetch_related("questions")


def delete_all_faqs(kb: KnowledgeBase, caller: Caller) -> None:
    """Deletes every FAQ of a knowledge base the way single ones are deleted."""
    for _kb, faqs in by_base(FAQ.objects.filter(kb=kb), _whole(), at_once=FAQAdmin.at_once):
        delete_faqs(kb, faqs, caller)


CONTENTS.append(
    Content(title=gettext_lazy("FAQs"), list_name="admin:faq_faq_changelist", count=partial(count_by_status, FAQ), delete=delete_all_faqs)
)
