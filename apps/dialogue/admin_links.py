"""Where an admin page of a conversation leads to: the chat, a new FAQ; and how it shows a vote."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.accounts.panel import caller_of
from apps.accounts.permissions import Permission
from apps.dialogue.models import Bot
from core.text import guess_locale


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
