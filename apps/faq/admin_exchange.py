"""The panel's pages by which FAQs come from files and go into files."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from apps.accounts.refusals import in_words
from apps.faq.admin_files import ImportForm, Upload, export, keep_upload, read_upload, token_of, upload_of
from apps.faq.files import FileFormat
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.panel.admin_life_cycle import LifeCycleAdmin
from core.errors import QAError

EXPORTS = (("csv", "CSV"), ("xlsx", "Excel"), ("jsonl", "JSON Lines"))


class FileExchangeAdmin(LifeCycleAdmin):
    """A list of FAQs that a file can be imported into, and that can be exported as it is filtered."""

    actions_list = ("import_file",)

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("import/", wrap(self.import_view), name="faq_faq_import"),
            path("export/<str:file_format>/", wrap(self.export_view), name="faq_faq_export"),
            *super().get_urls(),
        ]

    @action(description=gettext_lazy("Import a file"), url_path="upload", icon="upload_file", permissions=["add"])
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """The button above the list."""
        return HttpResponseRedirect(reverse("admin:faq_faq_import"))

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Upload, then what would happen, then the import itself: each a page of its own."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        chosen = KnowledgeBase.objects.filter(slug=request.GET.get("kb", "").replace("\x00", "")).first()
        form = ImportForm(request.POST or None, request.FILES or None, request=request, initial={"kb": chosen.pk if chosen else None})
        shown: dict[str, Any] = {}
        try:
            if "token" in request.POST:
                shown = self._import(request, upload_of(request.POST["token"], request))
                form = ImportForm(request=request)
            elif request.method == "POST" and form.is_valid():
                upload = keep_upload(form)
                shown = {"upload": upload, "report": read_upload(upload, request, dry_run=True), "token": token_of(upload, request)}
        except QAError as error:
            form = ImportForm(request=request)
            messages.error(request, in_words(error.message))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import FAQs"),
            "form": form,
            **shown,
        }
        return TemplateResponse(request, "admin/faq/faq/import.html", context)

    def _import(self, request: HttpRequest, upload: Upload) -> dict[str, Any]:
        report = read_upload(upload, request, dry_run=False)
        text = _("Imported into %(kb)s: %(created)d new, %(updated)d changed, %(unchanged)d as they were, %(bad)d not taken.")
        counts = {"created": report.created, "updated": report.updated, "unchanged": report.unchanged, "bad": report.bad_count}
        messages.success(request, text % {"kb": upload.kb, **counts})
        return {"upload": upload, "report": report, "done": True}

    def export_view(self, request: HttpRequest, file_format: str) -> HttpResponseBase:
        """What the list shows, filters and search included, as a file."""
        if not self.has_view_permission(request) or file_format not in list(FileFormat):
            raise PermissionDenied
        faqs = self.get_changelist_instance(request).get_queryset(request)
        slugs = list(faqs.order_by().values_list("kb__slug", flat=True).distinct()[:2])
        if len(slugs) > 1:
            messages.warning(request, _("A file holds one knowledge base: choose one in the filters first."))
            return HttpResponseRedirect(f"{reverse('admin:faq_faq_changelist')}?{request.GET.urlencode()}")
        try:
            return export(faqs, FileFormat(file_format), name=slugs[0] if slugs else "empty")
        except QAError as error:
            messages.error(request, in_words(error.message))
            return HttpResponseRedirect(f"{reverse('admin:faq_faq_changelist')}?{request.GET.urlencode()}")


def exports_of(request: HttpRequest) -> list[tuple[str, str]]:
    """Name and address of each format that the list, as it is filtered, can be exported in."""
    kept = urlencode({name: value for name, value in request.GET.items() if name != "p"})
    return [(label, f"{reverse('admin:faq_faq_export', args=[value])}?{kept}") for value, label in EXPORTS]
