"""Which sentences of a passage can stand in a summary? Whole ones that say something: no headings, rows of tables, scraps or orders to a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from apps.retrieval.grounding.orders import plain_spans
from apps.retrieval.summaries.ranking import MAX_SENTENCES
from core.sentences import estimate_tokens
from core.text import guess_locale
from core.types import Locale

MIN_TOKENS, MAX_CHARS = 6, 600
_ENDS = tuple("。！？!?；….”」』）)\"'")


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A sentence, `text[start:end]` of its passage's text; `place` is that among all sentences of the passage."""

    passage: int
    text: str
    start: int
    end: int
    place: int


def candidates_of(texts: Sequence[str]) -> list[Candidate]:
    """The sentences of the passages with these texts, at most `MAX_SENTENCES`, in order.

    Where there are more, all first ones come before any second one, and so on. Where nothing but headings, tables and scraps is
    there, these count.
    """
    whole = _up_to_limit([[one for one in _sentences(number, text) if _says_something(one.text)] for number, text in enumerate(texts)])
    return whole or _up_to_limit([list(_sentences(number, text)) for number, text in enumerate(texts)])


def joined(sentences: Iterable[str]) -> str:
    """The sentences as one text, with blanks between them where the language has them."""
    text = ""
    for sentence in sentences:
        text += (" " if text and guess_locale(sentence) is not Locale.ZH else "") + sentence
    return text


def _sentences(passage: int, text: str) -> Iterator[Candidate]:
    for place, (start, end) in enumerate(plain_spans(text)):
        end = min(end, start + MAX_CHARS)
        yield Candidate(passage=passage, text=text[start:end], start=start, end=end, place=place)


def _says_something(sentence: str) -> bool:
    return sentence.endswith(_ENDS) and " | " not in sentence and estimate_tokens(sentence) >= MIN_TOKENS


def _up_to_limit(by_passage: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    in_turn = (one for turn in zip_longest(*by_passage) for one in turn if one is not None)
    return sorted(islice(in_turn, MAX_SENTENCES), key=lambda one: (one.passage, one.start))
