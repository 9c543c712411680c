"""What can be done to bots and turns, apart from answering."""

from __future__ import annotations

from apps.accounts.audit import record
from apps.accounts.permissions import Caller
from apps.dialogue.models import Bot, Feedback, Turn
from apps.retrieval.models import KnowledgeBase
from core.errors import InvalidRequest
from core.text import clean_answer

MAX_COMMENT_CHARS = 4000


def create_bot(*, slug: str, name: str, kbs: list[KnowledgeBase], caller: Caller, public: bool = False, **more: str) -> Bot:
    """A new bot over these knowledge bases. Raises InvalidRequest where the slug is taken."""
    if Bot.objects.filter(slug=slug).exists():
        raise InvalidRequest(f"There is a bot {slug!r} already.", field="slug")
    bot = Bot.objects.create(slug=slug, name=name, public=public, locale=kbs[0].locale, **more)
    bot.kbs.set(kbs)
    record(caller, "create_bot", target=slug)
    return bot


def vote_on(turn: Turn, *, vote: object, comment: object) -> Feedback:
    """Stores or replaces the vote on a turn: 1 or -1."""
    if vote not in (1, -1) or isinstance(vote, bool):
        raise InvalidRequest("`vote` must be 1 or -1.", field="vote")
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT_CHARS:
        raise InvalidRequest(f"`comment` must be text of at most {MAX_COMMENT_CHARS} characters.", field="comment")
    feedback, _ = Feedback.objects.update_or_create(turn=turn, defaults={"vote": vote, "comment": clean_answer(comment)})
    return feedback
