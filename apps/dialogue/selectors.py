"""What can be read about bots and conversations, and by whom."""

from __future__ import annotations

import re

from apps.accounts.permissions import Caller, Permission
from apps.dialogue.models import Bot, Conversation, Turn
from apps.retrieval.search.cited import addresses_of
from apps.retrieval.selectors import may_search
from core.config import get_settings
from core.errors import Forbidden, NotAuthenticated, NotFound
from core.remembered import Remembered
from core.text import clean_text
from core.types import JSONDict, Source

_ID = re.compile(r"[0-9a-f]{32}")


def bot_for(slug: str, caller: Caller) -> Bot:
    """The bot with its knowledge bases loaded, at most `QA_REMEMBER_S` old. NotFound for one that the caller may not know of."""
    bot = _bots.get(slug)
    if bot is None or not may_ask(bot, caller):
        if bot is not None and caller.anonymous:
            raise NotAuthenticated("This bot answers known people only: send `Authorization: Bearer KEY`, or sign in.")
        raise NotFound(f"No bot {slug[:80]!r}.", bot=slug[:80])
    return bot


def _read_bot(slug: str) -> Bot | None:
    return Bot.objects.filter(slug=slug).prefetch_related("kbs").first()


_bots = Remembered(_read_bot, keep_s=lambda: get_settings().remember_s, most=1000)


def may_ask(bot: Bot, caller: Caller) -> bool:
    """Anybody may ask a public bot; a private one needs ASK in each of its knowledge bases, or a key made for it."""
    if bot.public or caller.bot_id == bot.pk:
        return True
    return caller.bot_id is None and _may_everywhere(bot, caller, Permission.ASK)


def conversation_for(conversation_id: str, caller: Caller) -> Conversation:
    """A conversation that the caller may read: their own, one that nobody owns (its id is the key to it), or any for a manager."""
    conversation = Conversation.objects.filter(pk=conversation_id).select_related("bot").first() if _ID.fullmatch(conversation_id) else None
    if conversation is None or not owns(conversation, caller):
        raise NotFound("No such conversation.", conversation=clean_text(conversation_id)[:64])
    return conversation


def owns(conversation: Conversation, caller: Caller) -> bool:
    """Whether the caller may read and continue the conversation."""
    return conversation.owner in ("", caller.name) or caller.may(Permission.MANAGE)


def turn_for(turn_id: str, caller: Caller) -> Turn:
    """A turn of a conversation that the caller may read."""
    turn = Turn.objects.filter(pk=turn_id).select_related("conversation", "conversation__bot").first() if _ID.fullmatch(turn_id) else None
    if turn is None or not owns(turn.conversation, caller):
        raise NotFound("No such turn.", turn=clean_text(turn_id)[:64])
    return turn


def may_explain(bot: Bot, caller: Caller) -> bool:
    """Whether the caller may see why this bot answered."""
    return _may_everywhere(bot, caller, Permission.READ)


def _may_everywhere(bot: Bot, caller: Caller, permission: Permission) -> bool:
    """Whether the caller may do this in each of the bot's knowledge bases; a bot without any is for managers alone."""
    kbs = bot.kbs.all()
    if not kbs:
        return caller.may(Permission.MANAGE)
    return not caller.anonymous and all(caller.may(permission, kb.pk) for kb in kbs)


def may_open_documents(bot: Bot, caller: Caller) -> bool:
    """Whether there may be documents of this bot's that the caller can open; of single ones `documents_of_turn` tells."""
    return any(may_search(kb, caller) for kb in bot.kbs.all())


def documents_of_turn(turn: Turn, caller: Caller) -> JSONDict:
    """Where the caller opens the documents that the turn's sources come from: none of those that are closed to the caller."""
    sources = [Source.from_dict(row) for row in turn.sources]
    found = addresses_of(sources, turn.conversation.bot.kbs.all(), caller)
    return {"documents": [{"source": source, "url": url} for source, url in found.items()]}


def require_trace(turn: Turn, caller: Caller) -> None:
    """The trace names content that the reader need not see: it is for who may read every knowledge base of the bot."""
    if not may_explain(turn.conversation.bot, caller):
        raise Forbidden("Only people who may read the bot's knowledge bases can see why it answered.")


def history_of(conversation: Conversation) -> JSONDict:
    """The conversation with its turns, oldest first."""
    turns = list(conversation.turns.select_related("feedback").order_by("created_at"))
    return {
        "id": conversation.pk,
        "bot": conversation.bot.slug,
        "title": turns[0].question[:80] if turns else "",
        "created_at": conversation.created_at.isoformat(),
        "turns": [turn_as_dict(turn) for turn in turns],
    }


def turn_as_dict(turn: Turn) -> JSONDict:
    """One turn of the history."""
    feedback = getattr(turn, "feedback", None)
    return {
        "turn": turn.pk,
        "question": turn.question,
        "answer": turn.answer,
        "answered": turn.answered,
        "skill": turn.skill or None,
        "confidence": round(turn.confidence, 4),
        "state": turn.state,
        "sources": [Source.from_dict(row).as_dict() for row in turn.sources],
        "suggestions": turn.suggestions,
        "degraded": turn.degraded,
        "stopped": turn.state == Turn.State.STOPPED,
        "error": turn.error,
        "vote": feedback.vote if feedback else None,
        "created_at": turn.created_at.isoformat(),
    }
