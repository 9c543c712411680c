"""Admin pages for bots: what they know, how sure they must be, and a place to try them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminDecimalFieldWidget

from apps.accounts.audit import record
from apps.accounts.panel import SLUG_HELP, ScopedAdmin, caller_of, kb_ids_where
from apps.accounts.permissions import Caller, Permission
from apps.accounts.refusals import in_words
from apps.dialogue.admin_links import add_faq_url, chat_url, may_add
from apps.dialogue.explaining import explain
from apps.dialogue.models import Bot
from apps.dialogue.trying import try_question
from apps.retrieval.grounding.templates import SHIPPED, check_template
from apps.retrieval.models import KnowledgeBase
from core.errors import InvalidRequest, QAError
from core.types import Locale

PROMPTS = {"prompt_zh": Locale.ZH, "prompt_en": Locale.EN}


def bots_where(caller: Caller, permission: Permission) -> QuerySet[Bot]:
    """The bots all of whose knowledge bases permit this to the caller."""
    ids = kb_ids_where(caller, permission)
    if ids is None:
        return Bot.objects.all()
    others = KnowledgeBase.objects.exclude(pk__in=ids)
    return Bot.objects.filter(pk__in=Bot.kbs.through.objects.filter(knowledgebase__in=ids).values("bot")).exclude(
        pk__in=Bot.kbs.through.objects.filter(knowledgebase__in=others).values("bot")
    )


class BotForm(forms.ModelForm):
    """A bot's settings, with the bounds that the model's columns do not know."""

    threshold = forms.FloatField(
        label=gettext_lazy("Least confidence"), required=False, min_value=0, max_value=1, widget=UnfoldAdminDecimalFieldWidget,
        help_text=gettext_lazy(
            "Between 0 and 1: how sure the bot must be before it answers. Higher: fewer wrong answers, more “I do not know”. "
            "Empty takes the value that was fitted on data; leave it so unless you have measured."
        ),
    )  # fmt: skip

    class Meta:
        model = Bot
        exclude: ClassVar[list[str]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """An empty prompt is the one that ships: it is there to begin with, and to read."""
        super().__init__(*args, **kwargs)
        for name, locale in PROMPTS.items():
            if name in self.fields:
                self.fields[name].widget.attrs |= {"rows": 12, "placeholder": SHIPPED[locale]}
                self.fields[name].help_text = _(
                    "Empty takes the one that ships, shown in grey. It must show {{ sources }} and {{ question }}, may show {{ bot }} and "
                    "{{ date }}, and may test them with {% if %}."
                )

    def clean_prompt_zh(self) -> str:
        return _usable_template(self.cleaned_data["prompt_zh"])

    def clean_prompt_en(self) -> str:
        return _usable_template(self.cleaned_data["prompt_en"])


def _usable_template(template: str) -> str:
    """The template, if it can be used; else the form says what is wrong."""
    try:
        check_template(template)
    except InvalidRequest as error:
        raise forms.ValidationError(in_words(error.message)) from error
    return template.replace("\r\n", "\n").strip()


@admin.register(Bot)
class BotAdmin(ScopedAdmin):
    """What people talk to. Readable by who may read all its knowledge bases, changed by who manages them all."""

    kb_lookup = "kbs"
    needs: ClassVar[Mapping[str, Permission | None]] = {
        "view": Permission.READ, "add": Permission.MANAGE, "change": Permission.MANAGE, "delete": Permission.MANAGE,
    }  # fmt: skip
    form = BotForm
    list_display = ("title", "bases", "public_badge", "locale", "least_confidence", "conversation_count", "links")
    search_fields = ("name", "slug")
    list_filter = ("public", "locale")
    prepopulated_fields: ClassVar[dict[str, Sequence[str]]] = {"slug": ("name",)}
    actions_detail = ("try_it", "open_chat")
    fieldsets = (
        (None, {"fields": ("name", "slug", "kbs", ("locale", "public"))}),
        (gettext_lazy("What it says first"), {"fields": (("greeting_zh", "greeting_en"), ("suggestions_zh", "suggestions_en"))}),
        (gettext_lazy("When nothing fits"), {"fields": (("fallback_zh", "fallback_en"), "threshold")}),
        (
            gettext_lazy("Answers out of documents"),
            {"fields": ("document_answers", ("unsupported", "without_support"), "prompt_zh", "prompt_en")},
        ),
    )

    def kb_ids_of(self, obj: Bot) -> list[int | None]:
        return [kb.pk for kb in obj.kbs.all()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Bot]:
        return (
            bots_where(caller_of(request), Permission.READ)
            .prefetch_related("kbs")
            .annotate(conversation_total=Count("conversations", distinct=True))
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form; of something new, it says what a slug is for."""
        return super().get_form(request, obj, change=change, **{**kwargs, "help_texts": {"slug": SLUG_HELP}})

    def get_readonly_fields(self, request: HttpRequest, obj: Bot | None = None) -> tuple[str, ...]:
        return ("slug",) if obj is not None else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Bot | None = None) -> dict[str, Sequence[str]]:
        return {} if obj is not None else self.prepopulated_fields

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        ids = kb_ids_where(caller_of(request), Permission.MANAGE)
        if ids is not None:
            kwargs["queryset"] = KnowledgeBase.objects.filter(pk__in=ids)
        return super().formfield_for_manytomany(db_field, request, widget=UnfoldAdminCheckboxSelectMultipleWidget, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Knowledge bases are ticked; they are made on a page of their own."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "kbs" and field is not None:
            field.widget = getattr(field.widget, "widget", field.widget)
            field.help_text = ""
        return field

    @display(description=gettext_lazy("bot"), header=True, ordering="name")
    def title(self, obj: Bot) -> list[str]:
        return [obj.name, obj.slug]

    @display(description=gettext_lazy("knowledge bases"))
    def bases(self, obj: Bot) -> str:
        return ", ".join(str(kb) for kb in obj.kbs.all())

    @display(description=gettext_lazy("who may ask"), ordering="public", label={"public": "success", "known": ""})
    def public_badge(self, obj: Bot) -> tuple[str, str]:
        return ("public", _("Anybody")) if obj.public else ("known", _("Known people"))

    @display(description=gettext_lazy("least confidence"), ordering="threshold")
    def least_confidence(self, obj: Bot) -> str:
        return _("fitted") if obj.threshold is None else f"{obj.threshold:g}"

    @display(description=gettext_lazy("conversations"), ordering="conversation_total")
    def conversation_count(self, obj: Bot) -> int:
        return int(obj.conversation_total)

    @display(description="")
    def links(self, obj: Bot) -> SafeString:
        links = '<span class="panel-links"><a href="{}">{}</a><a href="{}" target="_blank">{}</a></span>'
        return format_html(links, reverse("admin:dialogue_bot_try_it", args=[obj.pk]), _("Try it"), chat_url(obj), _("Chat page"))

    @action(description=gettext_lazy("Try it"), url_path="try", icon="science")
    def try_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the bot a question and see the candidates with their scores; leaves no turn behind."""
        bot = self.get_object(request, object_id)
        if bot is None:
            raise Http404
        if not self.has_view_permission(request, bot):
            raise PermissionDenied
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "bot": bot,
            "title": _("Try %(bot)s") % {"bot": bot},
        }
        if request.method == "POST":
            context["asked"] = request.POST.get("question", "")
            try:
                trial = try_question(bot, context["asked"])
                context |= {
                    "trial": trial,
                    "trace": explain(trial.trace),
                    "add_url": add_faq_url(trial.question, bot) if may_add(request, bot) else "",
                }
            except QAError as error:
                context["refusal"] = in_words(error.message)
        return TemplateResponse(request, "admin/dialogue/try.html", context)

    @action(description=gettext_lazy("Chat page"), url_path="chat", icon="open_in_new")
    def open_chat(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The bot as people see it."""
        bot = self.get_object(request, object_id)
        if bot is None:
            raise Http404
        return HttpResponse(status=302, headers={"Location": chat_url(bot)})

    def save_model(self, request: HttpRequest, obj: Bot, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record(caller_of(request), "change_bot" if change else "create_bot", target=obj.slug, details={"fields": list(form.changed_data)})

    def delete_model(self, request: HttpRequest, obj: Bot) -> None:
        record(caller_of(request), "delete_bot", target=obj.slug)
        super().delete_model(request, obj)
