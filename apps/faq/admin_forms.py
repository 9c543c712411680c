"""The form in which a person edits an FAQ: every phrasing on a line of one text area, saved through the FAQ services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from apps.accounts.refusals import in_words_of_form
from apps.faq.models import FAQ
from apps.faq.rows import MAX_QUESTION_CHARS, MAX_QUESTIONS, FAQRow, parse_row
from apps.faq.services import row_of, save_faqs
from apps.retrieval.panel.admin_bases import offer_bases
from apps.retrieval.panel.admin_life_cycle import LifeCycleForm
from core.errors import InvalidRequest, QAError
from core.text import clean_text

_FORM_FIELDS = {"questions": "phrasings", "id": "external_id"}
_PER_LINE = {"class": "panel-lines", "rows": 7, "spellcheck": "true"}


class FAQForm(LifeCycleForm):
    """Checks what was typed, then saves it: `is_valid` says whether the FAQ is stored, so every refusal lands on the form."""

    external_id = forms.CharField(
        label=gettext_lazy("Id"), required=False, max_length=120, widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Empty: one is made. Give your own to recognise the FAQ in files and in other systems."),
    )  # fmt: skip
    phrasings = forms.CharField(
        label=gettext_lazy("Questions"), widget=UnfoldAdminTextareaWidget(attrs=_PER_LINE),
        help_text=gettext_lazy("One phrasing a line, as people would ask. The first one is shown to readers."),
    )  # fmt: skip
    seen_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = FAQ
        fields = ("kb", "external_id", "answer", "category", "locale", "status", "valid_from", "valid_until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._row: FAQRow | None = None
        stored = self.instance if self.instance.pk else None
        if stored is not None:
            self.initial.setdefault("phrasings", "\n".join(row_of(stored).questions))
            self.initial.setdefault("seen_version", stored.version)
        offer_bases(self, self.caller)
        self.offer_statuses()
        self._offer_locales()

    def _offer_locales(self) -> None:
        field = self.fields.get("locale")
        if field is not None and not self.instance.pk:
            field.required = False
            field.choices = [("", _("Recognise it")), *[choice for choice in field.choices if choice[0]]]

    def clean_phrasings(self) -> str:
        lines = [line for line in self.cleaned_data["phrasings"].splitlines() if clean_text(line)]
        if not lines:
            raise forms.ValidationError(_("Write at least one question."))
        if len(lines) > MAX_QUESTIONS:
            raise forms.ValidationError(
                _("At most %(most)d phrasings; these are %(count)d.") % {"most": MAX_QUESTIONS, "count": len(lines)}
            )
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_QUESTION_CHARS:
                raise forms.ValidationError(
                    _("Line %(number)d is longer than %(most)d characters.") % {"number": number, "most": MAX_QUESTION_CHARS}
                )
        return "\n".join(lines)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        if data.get("valid_from") and data.get("valid_until") and data["valid_from"] >= data["valid_until"]:
            self.add_error("valid_until", _("This must be later than “valid from”."))
        self._refuse_lost_update(data)
        self._refuse_taken_id(data)
        try:
            self._row = parse_row(
                {**data, "id": self.instance.external_id if self.instance.pk else data.get("external_id"), "questions": data["phrasings"]}
            )
        except InvalidRequest as error:
            self._add(error)
        return data

    def _refuse_lost_update(self, data: dict[str, Any]) -> None:
        """What somebody else saved since this form was opened must not be overwritten unseen."""
        if not self.instance.pk or data.get("seen_version") is None:
            return
        current = FAQ.objects.filter(pk=self.instance.pk).values_list("version", flat=True).first()
        if current != data["seen_version"]:
            self.add_error(None, _("Somebody else has changed this FAQ since you opened it. Open it again to see their version."))

    def _refuse_taken_id(self, data: dict[str, Any]) -> None:
        wanted = data.get("external_id")
        if not self.instance.pk and wanted and FAQ.objects.filter(kb=data["kb"], external_id=wanted).exists():
            self.add_error("external_id", _("There is an FAQ with this id in the knowledge base already."))

    def _add(self, error: QAError) -> None:
        name = str(error.details.get("field", ""))
        name = _FORM_FIELDS.get(name, name)
        labels = {of: self.fields[form].label for of, form in _FORM_FIELDS.items() if form in self.fields}
        labels |= {form: field.label for form, field in self.fields.items()}
        self.add_error(name if name in self.fields else None, in_words_of_form(error.message, labels))

    def is_valid(self) -> bool:
        """Whether everything is right and the FAQ is stored."""
        return super().is_valid() and self._store()

    def _store(self) -> bool:
        if self._row is None:
            return True
        row, self._row = self._row, None
        kb = self.instance.kb if self.instance.pk else self.cleaned_data["kb"]
        try:
            self.instance = save_faqs(kb, [row], self.caller).faqs[0]
        except QAError as error:
            self._add(error)
            return False
        return True
