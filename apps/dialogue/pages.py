"""The chat page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Caller
from apps.dialogue.models import Bot
from apps.dialogue.selectors import may_ask, may_explain, may_open_documents
from core.config import get_settings
from core.types import JSONDict

CSP = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'none'"


def chat_page(request: HttpRequest) -> HttpResponse:
    """The web chat with the bots that the reader may ask; `?bot=` selects one."""
    caller = caller_of(request)
    bots = [bot for bot in Bot.objects.prefetch_related("kbs") if may_ask(bot, caller)]
    wanted = request.GET.get("bot", "")
    selected = next((bot for bot in bots if bot.slug == wanted), bots[0] if bots else None)
    context = {
        "bots": [_as_dict(bot, caller) for bot in bots],
        "bot": selected.slug if selected else "",
        "language": "zh" if (get_language() or "").startswith("zh") else "en",
        "max_question_chars": get_settings().max_question_chars,
    }
    page = render(request, "chat.html", context)
    page.headers["Content-Security-Policy"] = CSP
    return page


def _as_dict(bot: Bot, caller: Caller) -> JSONDict:
    return {
        "slug": bot.slug,
        "name": bot.name,
        "may_explain": may_explain(bot, caller),
        "may_open_documents": may_open_documents(bot, caller),
        "greeting": {"zh": bot.greeting_zh, "en": bot.greeting_en},
        "suggestions": {"zh": bot.suggestions_zh.splitlines(), "en": bot.suggestions_en.splitlines()},
    }
