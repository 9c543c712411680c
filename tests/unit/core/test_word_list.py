"""Words and phrases of a list are found whole, whatever their case and width."""

from __future__ import annotations

import pytest

from core.word_list import WordList

WORDS = WordList(["casino", "Free  Money", "赌博", "a", "C++", "ｓｐａｍ"])
TEXTS = [
    ("Visit our CASINO now", "casino"),
    ("casinos and occasinoal", None),
    ("get free\nmoney", "free money"),
    ("carefree money", None),
    ("禁止网络赌博行为", "赌博"),
    ("网络casino网站", "casino"),
    ("SPAM, 123", "spam"),
    ("spam1", None),
    ("learn C++ here", "c++"),
    ("that is a test", "a"),
    ("nothing", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "found"), TEXTS, ids=range(len(TEXTS)))
def test_the_first_phrase_is_found(text: str, found: str | None) -> None:
    assert WORDS.first_in(text) == found


def test_an_empty_list_finds_nothing() -> None:
    assert not WordList(["", " "])
    assert WordList([]).first_in("anything") is None
