"""Admin pages for what was said to bots: turns, conversations, feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import date as format_date
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from apps.accounts.audit import record
from apps.accounts.panel import ReadOnlyAdmin, caller_of
from apps.accounts.permissions import Permission
from apps.dialogue.admin_bots import bots_where
from apps.dialogue.admin_filters import AnsweredFilter, BotFilter, FeedbackBotFilter, SkillFilter, TurnBotFilter, VoteFilter
from apps.dialogue.admin_links import add_faq_url, thumb
from apps.dialogue.explaining import explain, pairs, preformatted, skill_name
from apps.dialogue.models import Conversation, Feedback, Turn


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
        queryset.delete()
        record(caller_of(request), f"delete_{self.opts.model_name}", target=str(count))


@admin.register(Turn)
class TurnAdmin(_SaidToBots):
    """Every question with its answer, why it was chosen, and what the reader thought."""

    bot_lookup = "conversation__bot"
    list_display = ("exchange", "outcome", "by_skill", "confidence_percent", "vote", "bot", "asked")
    list_display_links = ("exchange",)
    list_filter = (AnsweredFilter, TurnBotFilter, SkillFilter, VoteFilter)
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
                    ("how_it_ended", "by_skill"),
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

    @display(description=gettext_lazy("skill"), ordering="skill", empty_value="–")
    def by_skill(self, obj: Turn) -> str | None:
        return skill_name(obj.skill) or None

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
    list_filter = (BotFilter,)
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
        turns = [(turn, skill_name(turn.skill)) for turn in obj.turns.select_related("feedback").order_by("created_at")]
        return SafeString(render_to_string("admin/dialogue/transcript.html", {"turns": turns}))


@admin.register(Feedback)
class FeedbackAdmin(_SaidToBots):
    """Votes and comments of readers."""

    bot_lookup = "turn__conversation__bot"
    list_display = ("vote_badge", "asked_and_answered", "comment", "bot", "created_at")
    list_display_links = ("asked_and_answered",)
    list_filter = ("vote", FeedbackBotFilter)
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
