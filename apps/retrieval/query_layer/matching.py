"""Where do given words stand in a text? The longest at each place, not within longer Latin words or numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator


class WordMatcher:
    """Finds words of two characters or more; `pairs` are those of two. Text and words must be folded alike."""

    def __init__(self, words: Iterable[str]) -> None:
        lengths: dict[str, set[int]] = defaultdict(set)
        self._words = frozenset(words)
        self.pairs = frozenset(word for word in self._words if len(word) == 2)
        for word in self._words:
            lengths[word[:2]].add(len(word))
        self._lengths = {head: sorted(found, reverse=True) for head, found in lengths.items()}

    def __bool__(self) -> bool:
        return bool(self._words)

    def find(self, text: str) -> Iterator[tuple[int, str]]:
        """The place and the word of each occurrence, from left to right, without overlaps."""
        place = 0
        while place < len(text) - 1:
            word = self._at(text, place)
            if word:
                yield place, word
            place += len(word) or 1

    def _at(self, text: str, place: int) -> str:
        for length in self._lengths.get(text[place : place + 2], ()):
            word = text[place : place + length]
            if word in self._words and not _joins(text, place) and not _joins(text, place + length):
                return word
        return ""


def _joins(text: str, place: int) -> bool:
    """Whether a Latin word or number goes on over this place."""
    return 0 < place < len(text) and _is_latin(text[place - 1]) and _is_latin(text[place])


def _is_latin(char: str) -> bool:
    return char.isascii() and char.isalnum()
