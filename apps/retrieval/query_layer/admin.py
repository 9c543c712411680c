"""The panel's page for the query layer of each knowledge base: switches, words and synonym rules, pasted in bulk or from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.template.defaultfilters import linebreaksbr
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.accounts.panel import ScopedAdmin, caller_of
from apps.accounts.permissions import ANYBODY, Caller, Permission
from apps.accounts.refusals import in_words
from apps.retrieval.models import KnowledgeBase, QueryLayer
from apps.retrieval.panel.admin_bases import offer_bases_without
from apps.retrieval.parsing.encodings import decode_text
from apps.retrieval.query_layer.rules import lines_of_table, parse_synonyms, parse_words
from apps.retrieval.query_layer.services import QueryLayerSettings, save_query_layer
from core.config import get_settings
from core.errors import InvalidRequest, QAError

_LINES = {"class": "panel-lines", "rows": 14, "spellcheck": "false"}
_FILE_HELP = gettext_lazy("A CSV or text file; its lines are added to those above.")


class QueryLayerForm(forms.ModelForm):
    """Checks every line, adds those of files, then saves: `is_valid` says whether the layer is stored."""

    words_file = forms.FileField(
        label=gettext_lazy("Words from a file"), required=False, help_text=_FILE_HELP, widget=UnfoldAdminFileFieldWidget
    )
    synonyms_file = forms.FileField(
        label=gettext_lazy("Synonym rules from a file"), required=False, help_text=_FILE_HELP, widget=UnfoldAdminFileFieldWidget
    )

    caller: ClassVar[Caller] = ANYBODY

    class Meta:
        model = QueryLayer
        fields = ("kb", "uses_words", "uses_synonyms", "uses_typos", "uses_numbers", "words", "synonyms")
        widgets: ClassVar[Mapping[str, Any]] = {
            "kb": UnfoldAdminSelectWidget,
            "words": UnfoldAdminTextareaWidget(attrs=_LINES),
            "synonyms": UnfoldAdminTextareaWidget(attrs=_LINES),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("kb")
        if field is not None:
            offer_bases_without(field, KnowledgeBase.objects.filter(query_layer=None), self.caller)

    def clean_words_file(self) -> str:
        return self._lines_of(self.cleaned_data["words_file"])

    def clean_synonyms_file(self) -> str:
        return self._lines_of(self.cleaned_data["synonyms_file"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self._join(data, "words", parse_words)
        self._join(data, "synonyms", parse_synonyms)
        return data

    def is_valid(self) -> bool:
        """Whether everything is right and the layer is stored."""
        return super().is_valid() and self._store()

    def _lines_of(self, file: UploadedFile | None) -> str:
        if file is None:
            return ""
        most = get_settings().upload_max_mb
        if file.size > most * 2**20:
            raise forms.ValidationError(_("The file is larger than %(most)d MiB.") % {"most": most})
        return lines_of_table(decode_text(file.read())[0])

    def _join(self, data: dict[str, Any], name: str, parse: Callable[[str], object]) -> None:
        """The lines of the field and the file together, each once."""
        together = [*data.get(name, "").splitlines(), *data.get(f"{name}_file", "").splitlines()]
        data[name] = "\n".join(dict.fromkeys(line.strip() for line in together if line.strip()))
        try:
            parse(data[name])
        except InvalidRequest as error:
            self.add_error(name, in_words(error.message))

    def _store(self) -> bool:
        kb = self.instance.kb if self.instance.pk else self.cleaned_data["kb"]
        settings = QueryLayerSettings(**{name: self.cleaned_data[name] for name in QueryLayerSettings.__slots__})
        try:
            self.instance = save_query_layer(kb, settings, self.caller)
        except QAError as error:
            self.add_error(None, in_words(error.message))
            return False
        return True


@admin.register(QueryLayer)
class QueryLayerAdmin(ScopedAdmin):
    """How the words of questions are understood, for each knowledge base."""

    kb_lookup = "kb__pk"
    needs: ClassVar[Mapping[str, Permission | None]] = {
        "view": Permission.READ, "add": Permission.PUBLISH, "change": Permission.PUBLISH, "delete": None,
    }  # fmt: skip
    form = QueryLayerForm
    list_display = ("kb", "parts", "updated_at")
    search_fields = ("kb__name", "kb__slug")
    list_select_related = ("kb",)
    nothing_yet = gettext_lazy(
        "Every knowledge base uses what comes with the server: typing errors and numbers are understood. "
        "Who may publish adds a dictionary and synonyms here, or switches a part off."
    )
    fieldsets = (
        (
            None,
            {
                "fields": ("kb", ("uses_words", "uses_synonyms"), ("uses_typos", "uses_numbers")),
                "description": gettext_lazy("What is saved here counts from the next question on, in searches and answers."),
            },
        ),
        (gettext_lazy("Dictionary"), {"fields": ("words", "words_file")}),
        (gettext_lazy("Synonyms"), {"fields": ("synonyms", "synonyms_file")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Where every base has a query layer there is none to add."""
        return super().has_add_permission(request) and KnowledgeBase.objects.filter(query_layer=None).exists()

    def get_fieldsets(self, request: HttpRequest, obj: QueryLayer | None = None) -> Any:
        """Who may only read sees the lines as lines, and no files to choose."""
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        return (self.fieldsets[0], (_("Dictionary"), {"fields": ("words_as_lines",)}), (_("Synonyms"), {"fields": ("synonyms_as_lines",)}))

    def get_readonly_fields(self, request: HttpRequest, obj: QueryLayer | None = None) -> tuple[str, ...]:
        return ("kb",) if obj is not None else ()

    def get_form(self, request: HttpRequest, obj: QueryLayer | None = None, change: bool = False, **kwargs: Any) -> type[forms.ModelForm]:
        form = super().get_form(request, obj, change, **kwargs)
        return type(form.__name__, (form,), {"caller": caller_of(request)})

    def save_form(self, request: HttpRequest, form: QueryLayerForm, change: bool) -> QueryLayer:
        """What the form has stored."""
        stored: QueryLayer = form.instance
        return stored

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        """Nothing belongs to a layer."""

    def save_model(self, request: HttpRequest, obj: QueryLayer, form: forms.ModelForm, change: bool) -> None:
        """Nothing is left to do: the form saves through the service."""

    @display(description=gettext_lazy("words"))
    def words_as_lines(self, obj: QueryLayer) -> str:
        return linebreaksbr(obj.words) or "–"

    @display(description=gettext_lazy("synonym rules"))
    def synonyms_as_lines(self, obj: QueryLayer) -> str:
        return linebreaksbr(obj.synonyms) or "–"

    @display(description=gettext_lazy("in use"))
    def parts(self, obj: QueryLayer) -> str:
        names = ("uses_words", "uses_synonyms", "uses_typos", "uses_numbers")
        used = [str(QueryLayer._meta.get_field(name).verbose_name) for name in names if getattr(obj, name)]
        return ", ".join(used) or "–"
