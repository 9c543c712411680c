"""Do two texts say the same, and if not quite, what does one say more? Compared word by word, a Chinese character being a word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_ASIAN}]|[+-]?\d+(?:[.,:/]\d+)*%?|[^\W\d_{_ASIAN}]+(?:['’][^\W\d_{_ASIAN}]+)*")
_CHARACTER = re.compile(f"[{_ASIAN}]")
_POINTS = re.compile(r"[。、“”‘’\"'!;…]|(?<!\d)[,:]|[,:](?!\d)|\.(?!\d)")  # after NFKC; what can change a meaning is not among them
_SPACE = re.compile(r"\s+")
_NO_BLANK = re.compile(r"(?<=[^\x00-\x7f]) | (?=[^\x00-\x7f])")
LIKE_ENOUGH = 0.9  # of texts that are nearly the same
_LETTERS_A_CHARACTER = 2.5
_TURNS_ROUND = frozenset("不没沒无無非未免勿莫否") | {"not", "no", "never", "without", "except", "unless", "cannot", "only"}


def plain_form(text: str) -> str:
    """What is the same for texts that differ in case, width, blanks and the usual punctuation alone."""
    folded = _POINTS.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return _NO_BLANK.sub("", _SPACE.sub(" ", folded).strip()) or text


def words_of(text: str) -> list[str]:
    """Its words, numbers and Chinese characters in order, lower case; punctuation is none of them."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def length_in_letters(text: str) -> float:
    """How long it is, a Chinese character being as much as two and a half letters."""
    return len(text) + (_LETTERS_A_CHARACTER - 1) * len(_CHARACTER.findall(text))


def likeness(left: Sequence[str], right: Sequence[str]) -> float:
    """The share of their pairs of neighbouring words that both texts have (Jaccard), 0 to 1."""
    own, other = set(pairwise(left)), set(pairwise(right))
    return len(own & other) / max(len(own | other), 1)


def says_no_more(words: Sequence[str], other: Sequence[str]) -> bool:
    """Whether another text says all these words in this order, and beyond them no number and no word that turns the sense round."""
    rest = iter(words)
    waited = next(rest, None)
    for word in other:
        if word == waited:
            waited = next(rest, None)
        elif word in _TURNS_ROUND or word.endswith(("n't", "n’t")) or any(char.isdigit() for char in word):
            return False
    return waited is None
