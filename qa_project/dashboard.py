"""What the panel's first page shows: the last two weeks of questions, what had no answer, and how much content there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.template.defaultfilters import date as format_date
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.charts import DayBar, stack_bars
from apps.accounts.panel import caller_of, kb_ids_where, may_somewhere, within
from apps.accounts.permissions import Caller, Permission
from apps.dialogue.admin_bots import bots_where
from apps.dialogue.admin_links import add_faq_url, chat_url, may_add
from apps.dialogue.models import Feedback, Turn
from apps.faq.models import FAQ, FAQStatus
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.panel.contents import CONTENTS
from core.text import normalize

DAYS = 14
MOST_UNANSWERED = 8
MOST_BASES = 8


@dataclass(frozen=True, slots=True)
class DayCount:
    """Questions of one day."""

    day: date
    total: int
    answered: int


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds `dashboard` to the context of the panel's first page; only what the reader may see goes into it."""
    caller = caller_of(request)
    readable = may_somewhere(caller, Permission.READ)
    shown: dict[str, Any] = {"readable": readable, "in_review": in_review(caller), "documents_in_review": documents_in_review(caller)}
    if readable:
        shown |= {"bases": _bases(caller), "bots": _bots(caller)}
    if may_somewhere(caller, Permission.EDIT):
        since = timezone.now() - timedelta(days=DAYS - 1)
        turns = _turns(caller).filter(created_at__date__gte=timezone.localdate(since))
        days = count_by_day(turns)
        shown |= {"turns": _figures(days, turns), "chart": draw_days(days), "unanswered": _unanswered(request, turns)}
    return {**context, "title": _("Overview"), "dashboard": shown}


def in_review(caller: Caller) -> int:
    """How many FAQs wait for a reviewer where the reader may read."""
    return within(FAQ.objects.filter(status=FAQStatus.IN_REVIEW), caller, Permission.READ, "kb_id").count()


def documents_in_review(caller: Caller) -> int:
    """How many documents wait for a reviewer where the reader may read."""
    return within(Document.objects.filter(status=Document.Status.IN_REVIEW), caller, Permission.READ, "kb_id").count()


def _turns(caller: Caller) -> QuerySet[Turn]:
    """The turns that the reader may look into."""
    turns = Turn.objects.order_by()
    if kb_ids_where(caller, Permission.EDIT) is None:
        return turns
    return turns.filter(conversation__bot__in=bots_where(caller, Permission.EDIT))


def count_by_day(turns: QuerySet[Turn]) -> list[DayCount]:
    """The last days, oldest first, those without questions too; one query."""
    rows = turns.annotate(day=TruncDate("created_at")).values("day").annotate(total=Count("pk"), good=Count("pk", filter=Q(answered=True)))
    counts = {row["day"]: row for row in rows}
    today = timezone.localdate()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    return [DayCount(day, counts[day]["total"], counts[day]["good"]) if day in counts else DayCount(day, 0, 0) for day in days]


def _figures(days: Sequence[DayCount], turns: QuerySet[Turn]) -> dict[str, object]:
    total, answered = sum(day.total for day in days), sum(day.answered for day in days)
    votes = dict(Feedback.objects.filter(turn__in=turns).values_list("vote").annotate(Count("pk")))
    return {
        "total": total,
        "answered_percent": f"{answered / total:.0%}" if total else "–",
        "liked": votes.get(1, 0),
        "disliked": votes.get(-1, 0),
    }


def draw_days(days: Sequence[DayCount]) -> dict[str, object]:
    """The chart of the days: what was answered below, what was not above it."""
    return stack_bars([DayBar(day.day, (day.answered, day.total - day.answered), _in_words(day)) for day in days])


def _in_words(day: DayCount) -> str:
    return _("%(day)s: %(total)d questions, %(answered)d answered") % {
        "day": day.day.isoformat(),
        "total": day.total,
        "answered": day.answered,
    }


def _unanswered(request: HttpRequest, turns: QuerySet[Turn]) -> list[dict[str, object]]:
    """The latest questions without an answer, each once, with how often it was asked lately."""
    missed = (
        turns.filter(answered=False, state=Turn.State.FINISHED)
        .select_related("conversation__bot")
        .prefetch_related("conversation__bot__kbs")
    )
    latest: dict[str, list[Turn]] = {}
    for turn in missed.order_by("-created_at")[:200]:
        latest.setdefault(normalize(turn.question), []).append(turn)
    return [_missed(request, same) for same in list(latest.values())[:MOST_UNANSWERED]]


def _missed(request: HttpRequest, same: Sequence[Turn]) -> dict[str, object]:
    turn, bot = same[0], same[0].conversation.bot
    return {
        "question": turn.question[:200],
        "times": len(same),
        "bot": bot.name,
        "asked": format_date(timezone.localtime(turn.created_at), "m-d H:i"),
        "url": reverse("admin:dialogue_turn_change", args=[turn.pk]),
        "add_url": add_faq_url(turn.question, bot) if may_add(request, bot) else "",
    }


def _bases(caller: Caller) -> list[dict[str, object]]:
    bases = list(within(KnowledgeBase.objects.all(), caller, Permission.READ, "pk")[:MOST_BASES])
    counts = [(content, content.count([kb.pk for kb in bases])) for content in CONTENTS]
    return [
        {
            "name": kb.name,
            "url": reverse("admin:retrieval_knowledgebase_change", args=[kb.pk]),
            "search_url": reverse("search-page", args=[kb.slug]),
            "contents": [
                {"title": content.title, "url": f"{reverse(content.list_name)}?kb={kb.slug}", "counts": found[kb.pk]}
                for content, found in counts
                if found.get(kb.pk)
            ],
        }
        for kb in bases
    ]


def _bots(caller: Caller) -> list[dict[str, object]]:
    return [
        {
            "name": bot.name,
            "url": reverse("admin:dialogue_bot_change", args=[bot.pk]),
            "try_url": reverse("admin:dialogue_bot_try_it", args=[bot.pk]),
            "chat_url": chat_url(bot),
        }
        for bot in bots_where(caller, Permission.READ)[:MOST_BASES]
    ]
