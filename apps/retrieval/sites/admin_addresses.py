"""Addresses for a knowledge base, in the panel: pages and sitemaps are pasted, each is judged, and a job fetches them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.accounts.panel import caller_of, may_somewhere
from apps.accounts.permissions import Permission
from apps.accounts.refusals import in_words
from apps.retrieval.documents.gone import Gone
from apps.retrieval.panel.admin_bases import BaseField, offer_bases
from apps.retrieval.sites.addresses import is_address
from apps.retrieval.sites.naming import judge_names
from apps.retrieval.sites.site_jobs import MAX_URLS, queue_addresses
from apps.serving.models import Job
from core.config import get_settings

MAX_SHOWN_REFUSALS = 20
_EXAMPLE = "https://example.com/help/\nhttps://example.com/sitemap.xml"
_BOX = {"class": "panel-lines", "rows": 7, "spellcheck": "false", "autocapitalize": "off", "placeholder": _EXAMPLE, "inputmode": "url"}
GONE = (
    (Gone.KEEP.value, gettext_lazy("stay, and the report names them")),
    (Gone.ARCHIVE.value, gettext_lazy("are archived")),
    (Gone.DELETE.value, gettext_lazy("are deleted")),
)


class AddressesForm(forms.Form):
    """Which pages and sitemaps go into which knowledge base, and what becomes of documents whose page is gone."""

    kb = BaseField()
    urls = forms.CharField(label=gettext_lazy("addresses"), widget=UnfoldAdminTextareaWidget(attrs=_BOX))
    gone = forms.ChoiceField(
        label=gettext_lazy("documents whose page is gone"), choices=GONE, required=False, widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        caller = caller_of(request)
        offer_bases(self, caller)
        if not may_somewhere(caller, Permission.PUBLISH):
            del self.fields["gone"]

    def clean_urls(self) -> list[str]:
        """The addresses between blanks and line breaks. Each that cannot be asked for is an error of its own."""
        texts = [text for line in self.cleaned_data["urls"].splitlines() for text in _texts_of(line)]
        if len(texts) > MAX_URLS:
            raise forms.ValidationError(
                _("These are %(count)d addresses; at most %(most)d go into one job. A sitemap names as many pages as you like.")
                % {"count": len(texts), "most": MAX_URLS}
            )
        named = judge_names(texts)
        if named.refused:
            shown = [f"{one.text} — {in_words(one.reason)}" for one in named.refused[:MAX_SHOWN_REFUSALS]]
            left = len(named.refused) - len(shown)
            raise forms.ValidationError([*shown, *([_("… and %(count)d more") % {"count": left}] if left else [])])
        return list(named.addresses)


def _texts_of(line: str) -> list[str]:
    """The texts of a line between its blanks; a line without an address is one text."""
    texts = line.split()
    return texts if any(map(is_address, texts)) or not texts else [" ".join(texts)]


def queue_form(form: AddressesForm, request: HttpRequest) -> Job:
    """Queues a job that fetches what the form names. Raises QAError."""
    gone = Gone(form.cleaned_data.get("gone") or Gone.KEEP)
    return queue_addresses(form.cleaned_data["kb"], form.cleaned_data["urls"], gone, caller_of(request))


def limits_of_fetching() -> dict[str, Any]:
    """What the page says before anything is pasted."""
    settings = get_settings()
    return {"most_urls": MAX_URLS, "most_pages": settings.site_max_pages, "delay_s": f"{settings.site_delay_s:g}"}
