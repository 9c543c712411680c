"""Which knowledge bases does a form of the panel offer? Those that whoever fills it in may edit."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from apps.accounts.panel import within
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.models import KnowledgeBase

CHOOSE = gettext_lazy("Choose a knowledge base")


class BaseField(forms.ModelChoiceField):
    """The field of a knowledge base, for forms of no model."""

    def __init__(self) -> None:
        super().__init__(
            label=gettext_lazy("knowledge base"),
            queryset=KnowledgeBase.objects.none(),
            widget=UnfoldAdminSelectWidget,
            empty_label=CHOOSE,
        )


def offer_bases(form: forms.BaseForm, caller: Caller) -> None:
    """Fills the field `kb`, where the form has it; a base that is the only one is chosen already."""
    field: Any = form.fields.get("kb")
    if field is None:
        return
    field.queryset = within(KnowledgeBase.objects.all(), caller, Permission.EDIT, "pk")
    if field.queryset.count() == 1:
        form.initial["kb"] = field.queryset.get().pk


def offer_bases_without(field: forms.ModelChoiceField, free: QuerySet[KnowledgeBase], caller: Caller) -> None:
    """Fills the field with those of the bases `free`, which have no rules of their own yet, whose rules the caller may set."""
    field.queryset, field.empty_label = within(free, caller, Permission.PUBLISH, "pk"), CHOOSE
