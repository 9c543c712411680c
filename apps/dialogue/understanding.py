"""What a person's message becomes before any skill sees it."""

from __future__ import annotations

from apps.dialogue.gate import gate
from apps.dialogue.models import Bot
from apps.retrieval.search.nearest import encode_question_if_possible, question_searches
from apps.retrieval.selectors import scope_of
from core.config import get_settings
from core.errors import InvalidRequest
from core.text import clean_text, guess_locale, has_letters, normalize
from core.types import Locale, Query, Writing


def check_question(text: object) -> str:
    """The question, if it is text that can be asked. Raises InvalidRequest that says what is wrong with it."""
    if not isinstance(text, str):
        raise InvalidRequest("The question must be text." if text is not None else "The question is missing.", field="question")
    most = get_settings().max_question_chars
    if len(text) > most:
        raise InvalidRequest(f"The question has {len(text)} characters; at most {most} are allowed.", field="question", limit=most)
    if not clean_text(text):
        raise InvalidRequest("The question is empty.", field="question")
    return text


def understand(text: str, *, bot: Bot, turn: str, groups: tuple[str, ...] = (), history: tuple[str, ...] = ()) -> Query:
    """The question cleaned, its language guessed, its vector computed once; without a vector where no encoder answers."""
    cleaned = clean_text(text)
    locale = guess_locale(cleaned) if has_letters(cleaned) else Locale(bot.locale)
    scope = scope_of(bot.kbs.all(), groups)
    with gate().outside():
        encoded = encode_question_if_possible(cleaned, question_searches(scope))
    return Query(
        text=cleaned,
        normalized=normalize(cleaned),
        locale=locale,
        scope=scope,
        turn=turn,
        encoded=encoded,
        history=history,
        writing=_writing(bot, locale),
    )


def _writing(bot: Bot, locale: Locale) -> Writing | None:
    """How the bot wants its answers out of documents written; None where they are to be extracted."""
    if bot.document_answers != Bot.DocumentAnswers.GENERATE:
        return None
    return Writing(
        bot=bot.name,
        template=bot.prompt_zh if locale is Locale.ZH else bot.prompt_en,
        flags_unsupported=bot.unsupported == Bot.Unsupported.FLAG,
        abstains=bot.without_support == Bot.WithoutSupport.ABSTAIN,
    )
