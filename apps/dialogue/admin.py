"""Admin pages for bots and for what was said to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import date as format_date
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from apps.accounts.audit import record
from apps.accounts.panel import ReadOnlyAdmin, ScopedAdmin, caller_of, kb_ids_where
from apps.accounts.permissions import Caller, Permission
from apps.accounts.refusals import in_words
from apps.dialogue.explaining import explain, pairs, preformatted
from apps.dialogue.models import Bot, Conversation, Feedback, Turn
from apps.dialogue.trying import try_question
from apps.retrieval.models import KnowledgeBase
from core.errors import QAError
from core.text import guess_locale


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
        label=gettext_lazy("Least confidence"), required=False, min_value=0, max_value=1,
        help_text=gettext_lazy(
            "Between 0 and 1: how sure the bot must be before it answers. Higher: fewer wrong answers, more “I do not know”. "
            "Empty takes the value that was fitted on data; leave it so unless you have measured."
        ),
    )  # fmt: skip

    class Meta:
        model = Bot
        exclude: ClassVar[list[str]] = []


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
    )

    def kb_ids_of(self, obj: Bot) -> list[int | None]:
        return [kb.pk for kb in obj.kbs.all()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Bot]:
        return (
            bots_where(caller_of(request), Permission.READ)
            .prefetch_related("kbs")
            .annotate(conversation_total=Count("conversations", distinct=True))
        )

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

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        for bot in queryset:
            self.delete_model(request, bot)


def chat_url(bot: Bot) -> str:
    """The chat page with this bot."""
    return f"/?{urlencode({'bot': bot.slug})}"


def may_add(request: HttpRequest, bot: Bot) -> bool:
    """Whether the reader may write FAQs in one of the bot's knowledge bases."""
    return any(caller_of(request).may(Permission.EDIT, kb.pk) for kb in bot.kbs.all())


def add_faq_url(question: str, bot: Bot) -> str:
    """The form for a new FAQ, filled with this question."""
    first = bot.kbs.all()[:1]
    filled = {"phrasings": " ".join(question.split()), "locale": guess_locale(question).value, **({"kb": first[0].pk} if first else {})}
    return f"{reverse('admin:faq_faq_add')}?{urlencode(filled)}"


def thumb(vote: int) -> SafeString:
    """A vote as an icon of the bundled font; not every machine can show an emoji."""
    icon, name, colour = ("thumb_up", _("Helpful"), "up") if vote > 0 else ("thumb_down", _("Not helpful"), "down")
    return format_html(
        '<span class="material-symbols-outlined panel-{}" title="{}" role="img" aria-label="{}">{}</span>', colour, name, name, icon
    )


class _BotFilter(DropdownFilter):
    """Bots that the reader may look into."""

    title, parameter_name = gettext_lazy("bot"), "bot"
    lookup = "bot__slug"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return list(bots_where(caller_of(request), Permission.EDIT).values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.lookup: self.value()}) if self.value() else queryset


class _TurnBotFilter(_BotFilter):
    lookup = "conversation__bot__slug"


class _FeedbackBotFilter(_BotFilter):
    lookup = "turn__conversation__bot__slug"


class SkillFilter(DropdownFilter):
    """Skills that have answered something."""

    title, parameter_name = gettext_lazy("skill"), "skill"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        used = Turn.objects.exclude(skill="").order_by("skill").values_list("skill", flat=True).distinct()
        return [(name, name) for name in used]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Turn]) -> QuerySet[Turn]:
        return queryset.filter(skill=self.value()) if self.value() else queryset


class AnsweredFilter(DropdownFilter):
    """Whether there was an answer, and how the turn ended."""

    title, parameter_name = gettext_lazy("outcome"), "outcome"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("answered", _("Answered")), ("unanswered", _("Not answered")), ("failed", _("Failed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Turn]) -> QuerySet[Turn]:
        match self.value():
            case "answered":
                return queryset.filter(answered=True)
            case "unanswered":
                return queryset.filter(answered=False, state=Turn.State.FINISHED)
            case "failed":
                return queryset.filter(state=Turn.State.FAILED)
        return queryset


class VoteFilter(DropdownFilter):
    """What readers thought of it."""

    title, parameter_name = gettext_lazy("vote"), "vote"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("1", _("Helpful")), ("-1", _("Not helpful")), ("none", _("No vote"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Turn]) -> QuerySet[Turn]:
        match self.value():
            case "1" | "-1" as vote:
                return queryset.filter(feedback__vote=int(vote))
            case "none":
                return queryset.filter(feedback=None)
        return queryset


class _SaidToBots(ReadOnlyAdmin):
    """What people said to bots: read by who may edit all of the bot's knowledge bases, deleted by who manages them."""

    bot_lookup: ClassVar[str] = "bot"
    kb_lookup = "bot"
    needs: ClassVar[Mapping[str, Permission | None]] = {"view": Permission.EDIT, "add": None, "change": None, "delete": Permission.MANAGE}

    def kb_ids_of(self, obj: Any) -> list[int | None]:
        bot = obj
        for name in self.bot_lookup.split("__"):
            bot = getattr(bot, name)
        return [kb.pk for kb in bot.kbs.all()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.model._default_manager.order_by(*(self.get_ordering(request) or self.opts.ordering))
        if caller_of(request).may(Permission.EDIT):
            return rows
        return rows.filter(**{f"{self.bot_lookup}__in": bots_where(caller_of(request), Permission.EDIT)})

    @display(description=gettext_lazy("id"))
    def number(self, obj: Any) -> str:
        return str(obj.pk)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        record(caller_of(request), f"delete_{self.opts.model_name}", target=str(obj.pk))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.count()
        super().delete_queryset(request, queryset)
        record(caller_of(request), f"delete_{self.opts.model_name}", target=str(count))


@admin.register(Turn)
class TurnAdmin(_SaidToBots):
    """Every question with its answer, why it was chosen, and what the reader thought."""

    bot_lookup = "conversation__bot"
    list_display = ("exchange", "outcome", "skill", "confidence_percent", "vote", "bot", "asked")
    list_display_links = ("exchange",)
    list_filter = (AnsweredFilter, _TurnBotFilter, SkillFilter, VoteFilter)
    list_filter_submit = True
    list_select_related = ("conversation__bot", "feedback")
    search_fields = ("question", "answer", "=id", "=conversation__id")
    search_help_text = gettext_lazy("Words of a question or an answer, or the id of a turn or conversation")
    date_hierarchy = "created_at"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "question",
                    "answer",
                    ("how_it_ended", "skill"),
                    ("confidence_percent", "asked"),
                    ("vote", "comment"),
                    ("bot", "thread"),
                    "make_faq",
                )
            },
        ),
        (gettext_lazy("Why"), {"fields": ("why",)}),
        (gettext_lazy("Sources and times"), {"fields": ("source_list", "suggestion_list", "times", "error_text", "number")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Turn | None = None) -> Any:
        return self.fieldsets

    @display(description=gettext_lazy("question and answer"), header=True, ordering="question")
    def exchange(self, obj: Turn) -> list[str]:
        return [Truncator(obj.question).chars(90), Truncator(" ".join(obj.answer[:400].split())).chars(90)]

    @display(
        description=gettext_lazy("outcome"), ordering="answered",
        label={"answered": "success", "unanswered": "warning", "failed": "danger", "stopped": "info", "running": "info"},
    )  # fmt: skip
    def outcome(self, obj: Turn) -> tuple[str, str]:
        if obj.state != Turn.State.FINISHED:
            return obj.state, str(obj.get_state_display())
        return ("answered", _("Answered")) if obj.answered else ("unanswered", _("Not answered"))

    @display(description=gettext_lazy("outcome"))
    def how_it_ended(self, obj: Turn) -> str:
        return self.outcome(obj)[1]

    @display(description=gettext_lazy("confidence"), ordering="confidence")
    def confidence_percent(self, obj: Turn) -> str:
        return f"{obj.confidence:.0%}"

    @display(description=gettext_lazy("vote"), ordering="feedback__vote", empty_value="–")
    def vote(self, obj: Turn) -> SafeString | None:
        feedback = getattr(obj, "feedback", None)
        return thumb(feedback.vote) if feedback else None

    @display(description=gettext_lazy("comment"), empty_value="–")
    def comment(self, obj: Turn) -> str | None:
        feedback = getattr(obj, "feedback", None)
        return feedback.comment or None if feedback else None

    @display(description=gettext_lazy("bot"), ordering="conversation__bot__name")
    def bot(self, obj: Turn) -> str:
        return str(obj.conversation.bot)

    @display(description=gettext_lazy("asked"), ordering="created_at")
    def asked(self, obj: Turn) -> str:
        return format_date(timezone.localtime(obj.created_at), "Y-m-d H:i")

    @display(description=gettext_lazy("conversation"))
    def thread(self, obj: Turn) -> SafeString:
        return format_html(
            '<a class="underline" href="{}">{}</a>',
            reverse("admin:dialogue_conversation_change", args=[obj.conversation_id]),
            obj.conversation_id,
        )

    @display(description=gettext_lazy("next step"))
    def make_faq(self, obj: Turn) -> SafeString:
        return format_html(
            '<a class="panel-button" href="{}">{}</a>', add_faq_url(obj.question, obj.conversation.bot), _("Make an FAQ of this question")
        )

    @display(description=gettext_lazy("candidates"))
    def why(self, obj: Turn) -> SafeString:
        return explain(obj.trace)

    @display(description=gettext_lazy("sources"), empty_value="–")
    def source_list(self, obj: Turn) -> SafeString | None:
        return preformatted(obj.sources) if obj.sources else None

    @display(description=gettext_lazy("nearest questions"), empty_value="–")
    def suggestion_list(self, obj: Turn) -> str | None:
        return "\n".join(obj.suggestions) or None

    @display(description=gettext_lazy("times (ms)"))
    def times(self, obj: Turn) -> SafeString:
        return pairs({name: round(float(ms), 1) for name, ms in obj.timings_ms.items()})

    @display(description=gettext_lazy("error"), empty_value="–")
    def error_text(self, obj: Turn) -> SafeString | None:
        return preformatted(obj.error) if obj.error else None


@admin.register(Conversation)
class ConversationAdmin(_SaidToBots):
    """One person's thread with one bot."""

    actor_field = "owner"
    list_display = ("first_question", "bot", "who", "turn_total", "last_asked")
    list_display_links = ("first_question",)
    list_filter = (_BotFilter,)
    list_filter_submit = True
    list_select_related = ("bot",)
    search_fields = ("=id", "owner")
    date_hierarchy = "created_at"
    fields = ("bot", "who", "created_at", "number", "transcript")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return super().get_queryset(request).annotate(turn_count=Count("turns"), latest=Max("turns__created_at"))

    def prepare_rows(self, request: HttpRequest, rows: Sequence[Conversation]) -> None:
        super().prepare_rows(request, rows)
        firsts: dict[str, str] = {}
        for conversation, question in (
            Turn.objects.filter(conversation__in=rows).order_by("-created_at").values_list("conversation", "question")
        ):
            firsts[conversation] = question
        for row in rows:
            row.first_asked = firsts.get(row.pk, "")

    @display(description=gettext_lazy("first question"))
    def first_question(self, obj: Conversation) -> str:
        return Truncator(getattr(obj, "first_asked", "") or obj.pk).chars(90)

    @display(description=gettext_lazy("asked by"), ordering="owner")
    def who(self, obj: Conversation) -> str:
        return self.actor_of(obj) if obj.owner else _("anybody")

    @display(description=gettext_lazy("turns"), ordering="turn_count")
    def turn_total(self, obj: Conversation) -> int:
        return int(obj.turn_count)

    @display(description=gettext_lazy("last question"), ordering="latest")
    def last_asked(self, obj: Conversation) -> str:
        latest = obj.latest or obj.created_at
        return format_date(timezone.localtime(latest), "Y-m-d H:i")

    @display(description=gettext_lazy("what was said"))
    def transcript(self, obj: Conversation) -> SafeString:
        turns = obj.turns.select_related("feedback").order_by("created_at")
        return SafeString(render_to_string("admin/dialogue/transcript.html", {"turns": turns}))


@admin.register(Feedback)
class FeedbackAdmin(_SaidToBots):
    """Votes and comments of readers."""

    bot_lookup = "turn__conversation__bot"
    list_display = ("vote_badge", "asked_and_answered", "comment", "bot", "created_at")
    list_display_links = ("asked_and_answered",)
    list_filter = ("vote", _FeedbackBotFilter)
    list_filter_submit = True
    list_select_related = ("turn__conversation__bot",)
    search_fields = ("comment", "turn__question", "turn__answer")
    ordering = ("-created_at",)
    fields = ("vote_badge", "comment", "turn_link", "created_at")

    @display(description=gettext_lazy("vote"), ordering="vote")
    def vote_badge(self, obj: Feedback) -> SafeString:
        return thumb(obj.vote)

    @display(description=gettext_lazy("question and answer"), header=True)
    def asked_and_answered(self, obj: Feedback) -> list[str]:
        return [Truncator(obj.turn.question).chars(90), Truncator(" ".join(obj.turn.answer[:400].split())).chars(110)]

    @display(description=gettext_lazy("bot"))
    def bot(self, obj: Feedback) -> str:
        return str(obj.turn.conversation.bot)

    @display(description=gettext_lazy("turn"))
    def turn_link(self, obj: Feedback) -> SafeString:
        return format_html(
            '<a class="underline" href="{}">{}</a>', reverse("admin:dialogue_turn_change", args=[obj.turn_id]), obj.turn.question
        )
