"""What a sentence states: its numbers, its names, and whether it denies."""

from __future__ import annotations

import pytest

from apps.retrieval.grounding.places import is_denial, names_in, numbers_in


def test_numbers_are_the_same_however_they_are_written() -> None:
    assert numbers_in("1,299 yuan, 十五天, twelve, 08:30") == numbers_in("1299 元, 15天, 12, 8:30") == {"1299", "15", "12", "8:30"}


def test_names_are_codes_capitals_and_latin_words_in_chinese() -> None:
    assert names_in("Open Sprout's page on it.clearbrook.example with an A3") == {"sprout", "it.clearbrook.example", "a3"}
    assert names_in("请打开 app 并登录") == {"app"}


@pytest.mark.parametrize(
    ("text", "denies"), [("不可以水洗", True), ("不超过三天", False), ("特别", False), ("无线网", False), ("You can't", True)]
)
def test_denials_are_told_from_words_that_look_like_one(text: str, denies: bool) -> None:
    assert is_denial(text) is denies


@pytest.mark.parametrize("numeral", ["一" * 5_000, "一亿" * 1_000, "九千" * 3_000], ids=["digits", "hundreds of millions", "thousands"])
def test_a_numeral_of_thousands_of_characters_is_no_number(numeral: str) -> None:
    assert numbers_in(f"共有{numeral}元，另有十五天。") == frozenset({"15"})
