"""How do documents come in from the panel? Two pages above their list: files are uploaded, addresses are pasted, jobs do the rest."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from apps.accounts.panel import ScopedAdmin, caller_of
from apps.accounts.refusals import in_words
from apps.retrieval.documents import ingest_jobs
from apps.retrieval.documents.admin_upload import UploadForm, limits, queue_upload
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.sites import site_jobs
from apps.retrieval.sites.admin_addresses import AddressesForm, limits_of_fetching, queue_form
from apps.serving.jobs.kinds import title_of
from apps.serving.jobs.panel import live_jobs, wants_part
from apps.serving.jobs.selectors import latest_jobs
from core.errors import QAError

KINDS = (ingest_jobs.KIND, site_jobs.KIND)
UPLOAD, ADDRESSES = "admin:retrieval_document_upload", "admin:retrieval_document_addresses"


class TakesSources(ScopedAdmin):
    """The two pages and the buttons that lead to them, for the list of documents."""

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("upload/", wrap(self.upload_view), name="retrieval_document_upload"),
            path("addresses/", wrap(self.addresses_view), name="retrieval_document_addresses"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; its buttons keep the knowledge base to which it is narrowed, and stand in an empty list too."""
        answer = super().changelist_view(request, extra_context)
        if isinstance(answer, TemplateResponse) and answer.context_data:
            kb, buttons = request.GET.get("kb", ""), answer.context_data["actions_list"]
            for button in buttons:
                button["path"] += f"?{urlencode({'kb': kb})}" if kb else ""
            answer.context_data["cl"].buttons = buttons
        return answer

    @action(description=gettext_lazy("Upload files"), url_path="files", icon="upload_file", permissions=["add"])
    def upload_files(self, request: HttpRequest) -> HttpResponse:
        """The button above the list."""
        return _leads_to(UPLOAD, kb=request.GET.get("kb", ""))

    @action(description=gettext_lazy("Fetch web pages"), url_path="pages", icon="language", permissions=["add"])
    def fetch_addresses(self, request: HttpRequest) -> HttpResponse:
        """The other button above the list."""
        return _leads_to(ADDRESSES, kb=request.GET.get("kb", ""))

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Files are chosen or dropped, sent, and read in the background; the page of jobs shows how far that is."""
        self._require_add(request)
        form = UploadForm(request.POST or None, request.FILES or None, request=request, initial=_chosen(request))
        if request.method == "POST" and form.is_valid():
            try:
                job = queue_upload(form, request)
                messages.success(request, _("Sent: %(title)s. It is read in the background.") % {"title": title_of(job)})
                return _leads_to("jobs-page", kb=form.cleaned_data["kb"].slug)
            except QAError as error:
                form.add_error(None, in_words(error.message))
        return self._page(request, "upload", title=_("Upload documents"), form=form, **limits())

    def addresses_view(self, request: HttpRequest) -> HttpResponse:
        """Addresses are pasted; the job that fetches them is followed on the page of jobs."""
        self._require_add(request)
        form = AddressesForm(request.POST or None, request=request, initial=_chosen(request))
        if request.method == "POST" and form.is_valid():
            try:
                job = queue_form(form, request)
                messages.success(
                    request,
                    _("Fetched in the background: %(title)s. The report will name what was not taken.") % {"title": title_of(job)},
                )
                return _leads_to("jobs-page", kb=form.cleaned_data["kb"].slug)
            except QAError as error:
                form.add_error(None, in_words(error.message))
        return self._page(request, "addresses", title=_("Fetch web pages"), form=form, **limits_of_fetching())

    def _require_add(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "page_name": name,
            "kb_chosen": request.GET.get("kb", ""),
            "kinds": " ".join(KINDS),
            **live_jobs(request, latest_jobs(caller_of(request), KINDS)),
        }
        if wants_part(request):
            return TemplateResponse(request, "admin/serving/latest_jobs.html", shared)
        return TemplateResponse(request, f"admin/retrieval/{name}.html", {**shared, **context})


def _chosen(request: HttpRequest) -> dict[str, Any]:
    """The knowledge base that the address names."""
    kb = KnowledgeBase.objects.filter(slug=request.GET.get("kb", "").replace("\x00", "")).first()
    return {"kb": kb.pk if kb else None}


def _leads_to(name: str, *, kb: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(f"{reverse(name)}?{urlencode({'kb': kb})}" if kb else reverse(name))
