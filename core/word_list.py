"""Does a text hold a word or phrase of a list? Whole words only, whatever their case, width and the blanks between them."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from core.text import clean_text


class WordList:
    """Words and phrases to look for. Time to search grows with the text, hardly with the list."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._starting: dict[str, list[str]] = defaultdict(list)
        for phrase in sorted({_fold(phrase) for phrase in phrases} - {""}):
            self._starting[phrase[:2]].append(phrase)

    def __bool__(self) -> bool:
        return bool(self._starting)

    def first_in(self, text: str) -> str | None:
        """The phrase that comes first in the text, as the list has it folded. Between letters of an alphabet it is none."""
        folded = _fold(text)
        for at in range(len(folded)):
            for length in (2, 1):
                for phrase in self._starting.get(folded[at : at + length], ()):
                    if folded.startswith(phrase, at) and _stands_alone(folded, at, at + len(phrase)):
                        return phrase
        return None


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", clean_text(text)).casefold()


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no word goes on at either end; Chinese has no blanks, so there a phrase may stand anywhere."""
    return not (start and _joins(text[start - 1], text[start])) and not (end < len(text) and _joins(text[end - 1], text[end]))


def _joins(left: str, right: str) -> bool:
    return _is_alphabetic(left) and _is_alphabetic(right)


def _is_alphabetic(char: str) -> bool:
    return char.isalnum() and not ("\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\U00020000" <= char <= "\U0003134f")
