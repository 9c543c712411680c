"""How a person edits a document: its fields on a form, saved through the document services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import INPUT_CLASSES, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from apps.accounts.refusals import in_words_of_form
from apps.retrieval.documents.drafts import Draft
from apps.retrieval.documents.editing import edited
from apps.retrieval.documents.readings import draft_of, reading_of_row
from apps.retrieval.documents.rows import parse_document
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import Document
from apps.retrieval.panel.admin_bases import offer_bases
from apps.retrieval.panel.admin_life_cycle import LifeCycleForm
from core.errors import InvalidRequest, QAError

MOST_EDITED_CHARS = 100_000  # a browser's text area grows slow beyond; such a text is changed where it comes from
_PARSED = ("title", "url", "language", "author", "category", "tags", "access", "date", "status")
_COMMAS = gettext_lazy("Several with commas between them.")


class DocumentForm(LifeCycleForm):
    """Checks what was typed, then saves it: `is_valid` says whether the document is stored, so every refusal lands on the form."""

    external_id = forms.CharField(
        label=gettext_lazy("Id"), required=False, max_length=200, widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Empty: one is made. Ingesting a source of the same id replaces the document."),
    )  # fmt: skip
    text = forms.CharField(
        label=gettext_lazy("Text"), strip=False, required=False, widget=UnfoldAdminTextareaWidget(attrs={"class": "panel-lines", "rows": 14}),
        help_text=gettext_lazy("Empty lines part paragraphs. A change is cut into passages anew."),
    )  # fmt: skip
    language = forms.CharField(
        label=gettext_lazy("Language"), required=False, max_length=8, help_text=gettext_lazy("A code such as zh or en; empty: it is recognised."),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    tags = forms.CharField(label=gettext_lazy("Tags"), required=False, help_text=_COMMAS, widget=UnfoldAdminTextInputWidget)
    access = forms.CharField(
        label=gettext_lazy("Access list"), required=False, widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Groups that may find it, with commas between them; empty: everyone who may search the base."),
    )  # fmt: skip
    date = forms.DateField(
        label=gettext_lazy("Date"), required=False, widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "class": " ".join(INPUT_CLASSES)}),
    )  # fmt: skip
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Document
        fields = ("kb", "external_id", "title", "text", "url", "language", "author", "category", "tags", "access", "date", "status")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._draft: Draft | None = None
        stored = self.instance if self.instance.pk else None
        if stored is not None:
            self.initial |= {"tags": "，".join(stored.tags) if stored.language == "zh" else ", ".join(stored.tags)}
            self.initial |= {"access": ", ".join(stored.access), "seen": stored.updated_at.isoformat()}
        offer_bases(self, self.caller)
        self.offer_statuses()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        self._refuse_lost_update(data)
        self._refuse_taken_id(data)
        given = {name: data.get(name) or None for name in _PARSED} | {"text": self._text(data)}
        given["date"] = data["date"].isoformat() if data.get("date") else None
        try:
            if self.instance.pk:
                self._draft = edited(self.instance, given)
            else:
                self._draft = draft_of(reading_of_row(parse_document({**given, "id": data.get("external_id")})))
        except InvalidRequest as error:
            self._add(error)
        return data

    def _text(self, data: dict[str, Any]) -> str:
        """The text with the line ends that are stored; as it is where the form does not show it."""
        return data["text"].replace("\r\n", "\n") if "text" in self.fields else self.instance.text

    def _refuse_lost_update(self, data: dict[str, Any]) -> None:
        """What somebody else saved since this form was opened must not be overwritten unseen."""
        if self.instance.pk and data.get("seen") and data["seen"] != self.instance.updated_at.isoformat():
            self.add_error(None, _("Somebody else has changed this document since you opened it. Open it again to see their version."))

    def _refuse_taken_id(self, data: dict[str, Any]) -> None:
        wanted = data.get("external_id")
        if not self.instance.pk and wanted and Document.objects.filter(kb=data["kb"], external_id=wanted).exists():
            self.add_error("external_id", _("There is a document with this id in the knowledge base already."))

    def _add(self, error: QAError) -> None:
        name = "external_id" if (name := str(error.details.get("field", ""))) == "id" else name
        labels = {"id" if name == "external_id" else name: field.label for name, field in self.fields.items()}
        self.add_error(name if name in self.fields else None, in_words_of_form(error.message, labels))

    def is_valid(self) -> bool:
        """Whether everything is right and the document is stored."""
        return super().is_valid() and self._store()

    def _post_clean(self) -> None:
        """The service checks and writes; the instance stays as it is stored until then."""

    def _store(self) -> bool:
        if self._draft is None:
            return True
        draft, self._draft = self._draft, None
        kb = self.instance.kb if self.instance.pk else self.cleaned_data["kb"]
        try:
            self.instance = save_documents(kb, [draft], self.caller).documents[0]
        except QAError as error:
            self._add(error)
            return False
        return True
