"""The panel's page for what each knowledge base keeps out of its documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.accounts.panel import ScopedAdmin, caller_of
from apps.accounts.permissions import ANYBODY, Caller, Permission
from apps.accounts.refusals import in_words
from apps.retrieval.documents.policies import CHOICES, SWITCHES, save_policy
from apps.retrieval.models import IngestPolicy, KnowledgeBase
from apps.retrieval.panel.admin_bases import offer_bases_without
from core.errors import QAError

_HELP = {
    "duplicates": gettext_lazy("A new document that adds nothing to another one: the same text, title and readers, and no newer date."),
    "near_duplicates": gettext_lazy("The same for texts that differ in a few words."),
    "drop_poor": gettext_lazy("Texts of mostly symbols, of repeated lines, or with fewer letters and digits than said here."),
    "drop_site_lines": gettext_lazy("Menus, notices and footers that half the pages of a site have."),
    "repair_encoding": gettext_lazy("“â€™” becomes “’”."),
    "block_words": gettext_lazy("Whole words, whatever their case and width; in Chinese a phrase may stand anywhere."),
}


class IngestPolicyForm(forms.ModelForm):
    """Checks the policy and saves it through its service: `is_valid` says whether it is stored."""

    caller: ClassVar[Caller] = ANYBODY

    class Meta:
        model = IngestPolicy
        fields = ("kb", *CHOICES, *SWITCHES, "min_chars", "blocked_words")
        help_texts = _HELP
        widgets: ClassVar[Mapping[str, Any]] = {
            "kb": UnfoldAdminSelectWidget,
            "blocked_words": UnfoldAdminTextareaWidget(attrs={"class": "panel-lines", "rows": 10, "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("kb")
        if field is not None:
            offer_bases_without(field, KnowledgeBase.objects.filter(ingest_policy=None), self.caller)

    def is_valid(self) -> bool:
        """Whether everything is right and the policy is stored."""
        return super().is_valid() and self._store()

    def _store(self) -> bool:
        kb = self.instance.kb if self.instance.pk else self.cleaned_data["kb"]
        given = {name: self.cleaned_data[name] for name in (*CHOICES, *SWITCHES, "min_chars")}
        try:
            self.instance = save_policy(kb, {**given, "blocked_words": self.cleaned_data["blocked_words"].splitlines()}, self.caller)
        except QAError as error:
            name = str(error.details.get("field", ""))
            self.add_error(name if name in self.fields else None, in_words(error.message))
            return False
        return True


@admin.register(IngestPolicy)
class IngestPolicyAdmin(ScopedAdmin):
    """What comes in and what is left out, for each knowledge base; bases without a policy of their own go by the usual one."""

    kb_lookup = "kb__pk"
    needs: ClassVar[Mapping[str, Permission | None]] = {
        "view": Permission.READ, "add": Permission.PUBLISH, "change": Permission.PUBLISH, "delete": None,
    }  # fmt: skip
    form = IngestPolicyForm
    list_display = ("kb", "duplicates", "near_duplicates", "mends", "word_count")
    search_fields = ("kb__name", "kb__slug")
    nothing_yet = gettext_lazy(
        "Every knowledge base begins with the same rules: copies, empty texts and what every page of a site repeats are left out. "
        "Who may publish changes them here."
    )
    list_select_related = ("kb",)
    fieldsets = (
        (None, {"fields": ("kb",)}),
        (gettext_lazy("Copies"), {"fields": (("duplicates", "near_duplicates"),)}),
        (gettext_lazy("Poor text"), {"fields": ("drop_poor", "min_chars", "drop_site_lines", "repair_encoding")}),
        (gettext_lazy("Blocked words"), {"fields": ("block_words", "blocked_words")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Where every base has a policy there is none to add."""
        return super().has_add_permission(request) and KnowledgeBase.objects.filter(ingest_policy=None).exists()

    def get_readonly_fields(self, request: HttpRequest, obj: IngestPolicy | None = None) -> tuple[str, ...]:
        return ("kb",) if obj is not None else ()

    def get_form(self, request: HttpRequest, obj: IngestPolicy | None = None, change: bool = False, **kwargs: Any) -> type[forms.ModelForm]:
        form = super().get_form(request, obj, change, **kwargs)
        return type(form.__name__, (form,), {"caller": caller_of(request)})

    def save_form(self, request: HttpRequest, form: IngestPolicyForm, change: bool) -> IngestPolicy:
        """What the form has stored."""
        stored: IngestPolicy = form.instance
        return stored

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        """Nothing belongs to a policy."""

    def save_model(self, request: HttpRequest, obj: IngestPolicy, form: forms.ModelForm, change: bool) -> None:
        """Nothing is left to do: the form saves through the service."""

    @display(description=gettext_lazy("in use"))
    def mends(self, obj: IngestPolicy) -> str:
        used = [str(IngestPolicy._meta.get_field(name).verbose_name) for name in SWITCHES if getattr(obj, name)]
        return " · ".join(used) or "–"

    @display(description=gettext_lazy("blocked words"))
    def word_count(self, obj: IngestPolicy) -> int:
        return len(obj.blocked_words.splitlines())
