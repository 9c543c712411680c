"""The admin page where curators work on documents. Every change goes through the document services, so indexes and audit follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import date as format_date
from django.urls import path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.decorators import action, display

from apps.accounts.panel import caller_of, kb_ids_where
from apps.accounts.permissions import Caller, Permission
from apps.accounts.refusals import in_words
from apps.retrieval.documents.admin_filters import LanguageFilter, TagFilter
from apps.retrieval.documents.admin_forms import MOST_EDITED_CHARS, DocumentForm
from apps.retrieval.documents.admin_passages import passages_shown, save_questions_of_form
from apps.retrieval.documents.admin_sources import TakesSources
from apps.retrieval.documents.selectors import copies_of, visible_to
from apps.retrieval.documents.services import delete_documents, forget_sources, set_status
from apps.retrieval.documents.withdrawals import withdrawal_of
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.retrieval.panel.admin_filters import CategoryFilter, KnowledgeBaseFilter, StatusFilter
from apps.retrieval.panel.admin_life_cycle import LifeCycleAdmin, by_base, count_by_status
from apps.retrieval.panel.contents import CONTENTS, Content
from core.errors import QAError

MOST_PASSAGES_PUBLISHED = 5000  # some minutes of encoding; more is for an ingestion


@admin.register(Document)
class DocumentAdmin(TakesSources, LifeCycleAdmin):
    """Documents of the knowledge bases that the reader may see."""

    said_when_saved: ClassVar[Mapping[str, str | Promise]] = {
        "published": gettext_lazy("Saved and published: “{}” is found from now on."),
        "in_review": gettext_lazy("Saved: “{}” waits for a reviewer."),
        "draft": gettext_lazy("Saved as a draft: “{}”."),
        "archived": gettext_lazy("Saved in the archive: “{}” is not found."),
    }
    form = DocumentForm
    list_display: ClassVar[Sequence[str]] = (
        "headed",
        "status_badge",
        "category",
        "language",
        "passage_count",
        "base",
        "date",
        "changed",
    )
    list_display_links = ("headed",)
    list_filter = (StatusFilter, KnowledgeBaseFilter, CategoryFilter, TagFilter, LanguageFilter, ("date", RangeDateFilter))
    list_filter_submit = True
    list_select_related = ("kb",)
    list_before_template = "admin/retrieval/document_tabs.html"
    change_form_outer_after_template = "admin/retrieval/document_below.html"
    search_fields = ("title", "external_id")
    search_help_text = gettext_lazy("Words of a title or an id")
    ordering = ("-updated_at", "-pk")
    actions_list = ("upload_files", "fetch_addresses")
    actions_detail = ("open_search",)
    actions: ClassVar[Sequence[str]] = (*LifeCycleAdmin.actions, "read_again")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return visible_to(caller_of(request), super().get_queryset(request)).defer("text")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Document], search_term: str) -> tuple[QuerySet[Document], bool]:
        """Rows where each word occurs in the title or the id."""
        for word in search_term.replace("\x00", " ").split():
            queryset = queryset.filter(Q(title__icontains=word) | Q(external_id__icontains=word))
        return queryset, False

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<path:object_id>/passages/<int:passage>/", wrap(self.questions_view), name="retrieval_document_questions"),
            *super().get_urls(),
        ]

    # What the list shows

    def prepare_rows(self, request: HttpRequest, rows: Sequence[Document]) -> None:
        counts = dict(Passage.objects.filter(document__in=rows).order_by().values_list("document").annotate(Count("pk")))
        for row in rows:
            row.passage_total = counts.get(row.pk, 0)

    @display(description=gettext_lazy("title and id"), header=True, ordering="title")
    def headed(self, obj: Document) -> list[str]:
        return [Truncator(obj.title or obj.external_id).chars(90), Truncator(obj.external_id).chars(80)]

    @display(description=gettext_lazy("passages"))
    def passage_count(self, obj: Document) -> int:
        return int(getattr(obj, "passage_total", 0))

    @display(description=gettext_lazy("changed"), ordering="updated_at")
    def changed(self, obj: Document) -> str:
        return format_date(timezone.localtime(obj.updated_at), "Y-m-d H:i")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        kb = self._chosen_base(request)
        shown = {"status_tabs": lambda: self.status_tabs(request), "search_url": reverse("search-page", args=[kb.slug]) if kb else ""}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def _chosen_base(self, request: HttpRequest) -> KnowledgeBase | None:
        """The base that the list shows, where it is one."""
        ids = kb_ids_where(caller_of(request), Permission.READ)
        bases = KnowledgeBase.objects.all() if ids is None else KnowledgeBase.objects.filter(pk__in=ids)
        named = request.GET.get("kb", "").replace("\x00", "")
        chosen = list((bases.filter(slug=named) if named else bases)[:2])
        return chosen[0] if len(chosen) == 1 else None

    # The form

    def get_fieldsets(self, request: HttpRequest, obj: Document | None = None) -> list[tuple[Any, dict[str, Any]]]:
        filed = ["status", ("category", "tags"), ("language", "date"), ("author", "url"), "access"]
        if obj is None:
            return [(None, {"fields": ["kb", "title", "text"]}), (_("How it is filed"), {"fields": [*filed, "external_id"]})]
        text = "text" if len(obj.text) <= MOST_EDITED_CHARS and self.has_change_permission(request, obj) else "text_note"
        about = ["external_id", ("kb", "media_type"), ("created_at", "updated_at")]
        return [
            (None, {"fields": ["title", "seen"]}),
            (_("How it is filed"), {"fields": filed}),
            (_("Text"), {"fields": [text], "classes": ["collapse"]}),
            (_("Where it comes from"), {"fields": about, "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Document | None = None) -> tuple[str, ...]:
        return ("kb", "external_id", "media_type", "created_at", "updated_at", "text_note") if obj is not None else ()

    @display(description=gettext_lazy("text"))
    def text_note(self, obj: Document) -> SafeString:
        if len(obj.text) <= MOST_EDITED_CHARS:
            return format_html('<div class="panel-plain">{}</div>', obj.text)
        note = _("%(count)s characters: too long for a form. Change it where it comes from and ingest it again.")
        return format_html("{}", note % {"count": f"{len(obj.text):,}"})

    def seen(self, obj: Document) -> str:
        return obj.updated_at.isoformat()

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown: dict[str, Any] = {}
        if object_id and (document := self.get_object(request, object_id)):
            shown = {"title": str(document), "subtitle": None, "below": lambda: self._below(request, document)}
        return super().changeform_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def _below(self, request: HttpRequest, document: Document) -> dict[str, Any]:
        """What stands under the form: copies, and the passages with their questions."""
        same, near = copies_of(document, caller_of(request))
        return {
            "document": document,
            "withdrawal": withdrawal_of(document),
            "same": same,
            "near": near,
            "may_change": self.has_change_permission(request, document),
            **passages_shown(document, request.GET.get("passages", "1")),
        }

    def questions_view(self, request: HttpRequest, object_id: str, passage: int) -> HttpResponse:
        """Saves the questions of one passage, then shows it again."""
        document = self.get_object(request, object_id)
        if document is None or request.method != "POST":
            raise Http404
        try:
            stored = save_questions_of_form(document, passage, request.POST, caller_of(request))
            messages.success(request, _("Saved: passage %(number)d is found by these questions too.") % {"number": stored.number + 1})
        except QAError as error:
            messages.error(request, in_words(error.message))
        page = urlencode({"passages": request.POST.get("page", "1")})
        return HttpResponseRedirect(f"{reverse('admin:retrieval_document_change', args=[document.pk])}?{page}#passage-{passage}")

    @action(description=gettext_lazy("Search this base"), url_path="search", icon="search")
    def open_search(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The search page, asked for the title of this document."""
        document = self.get_object(request, object_id)
        if document is None:
            raise Http404
        return HttpResponseRedirect(f"{reverse('search-page', args=[document.kb.slug])}?{urlencode({'q': document.title[:200]})}")

    def save_form(self, request: HttpRequest, form: DocumentForm, change: bool) -> Document:
        """What the form has stored."""
        stored: Document = form.instance
        return stored

    def save_related(self, request: HttpRequest, form: DocumentForm, formsets: Any, change: bool) -> None:
        """Nothing belongs to a document's form."""

    # Deleting and the life cycle

    def named(self, obj: Document) -> str:
        return f"{obj} ({obj.external_id})" if obj.title else obj.external_id

    @admin.action(description=gettext_lazy("Publish"), permissions=["publish"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        """They are found from now on."""
        hidden = queryset.exclude(status=Document.Status.PUBLISHED).order_by().values("pk")
        if (count := Passage.objects.filter(document__in=hidden).count()) > MOST_PASSAGES_PUBLISHED:
            text = _("These have %(count)d passages; at most %(most)d can be published at once. Choose fewer documents.")
            messages.error(request, text % {"count": count, "most": MOST_PASSAGES_PUBLISHED})
            return
        super().publish(request, queryset)

    @admin.action(description=gettext_lazy("Read again at the next ingestion"), permissions=["change"])
    def read_again(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        """Their sources count as changed, so that new rules and repairs reach them."""
        count = 0
        for kb, documents in by_base(queryset, self.load(), at_once=self.at_once):
            try:
                count += forget_sources(kb, documents, caller_of(request))
            except QAError as error:
                messages.error(request, f"{kb}: {in_words(error.message)}")
        text = ngettext(
            "%(count)d document is read anew when its source is ingested next.",
            "%(count)d documents are read anew when their sources are ingested next.",
            count,
        )
        messages.success(request, text % {"count": count})

    def set_status(self, kb: KnowledgeBase, rows: Sequence[Document], status: str, caller: Caller) -> int:
        return set_status(kb, rows, Document.Status(status), caller)

    def erase(self, kb: KnowledgeBase, rows: Sequence[Document], caller: Caller) -> None:
        delete_documents(kb, rows, caller)

    def load(self) -> QuerySet[Document]:
        return Document.objects.all()

    def moved(self, count: int) -> str:
        return ngettext("%(count)d document is now “%(status)s”.", "%(count)d documents are now “%(status)s”.", count)


def delete_all_documents(kb: KnowledgeBase, caller: Caller) -> None:
    """Deletes every document of a knowledge base the way single ones are deleted."""
    for _kb, documents in by_base(Document.objects.filter(kb=kb), Document.objects.all(), at_once=DocumentAdmin.at_once):
        delete_documents(kb, documents, caller)


CONTENTS.append(
    Content(
        title=gettext_lazy("Documents"),
        list_name="admin:retrieval_document_changelist",
        count=partial(count_by_status, Document),
        delete=delete_all_documents,
    )
)
