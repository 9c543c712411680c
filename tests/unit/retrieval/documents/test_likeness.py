"""Whether two texts say the same."""

from __future__ import annotations

import pytest

from apps.retrieval.documents.likeness import length_in_letters, likeness, plain_form, says_no_more, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The desk is open.", "THE DESK,  is open"),
        ("年假：十五天。", "年假: 十五天"),
        ("ＡＢＣ１２３", "abc123"),
        ("Don't wait!", "don’t wait"),
        ("第一条\n工作时间。", "第一条 工作时间"),
    ],
)
def test_case_width_blanks_and_points_make_no_other_text(one: str, other: str) -> None:
    assert plain_form(one) == plain_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.5 l", "15 l"), ("3-5 days", "35 days"), ("+5", "-5"), ("now here", "nowhere"), ("€5", "$5"), ("9:30", "930"), ("Open?", "Open.")],
)
def test_what_changes_the_meaning_does(one: str, other: str) -> None:
    assert plain_form(one) != plain_form(other)


def test_a_text_of_points_alone_keeps_them() -> None:
    assert plain_form("...") != plain_form("!!!")


def test_a_chinese_character_is_a_word() -> None:
    assert words_of("休 15.5 天，Don't ask") == ["休", "15.5", "天", "don't", "ask"]


def test_likeness_is_the_share_of_pairs_that_both_have() -> None:
    assert likeness(words_of("a b c d"), words_of("a b c e")) == pytest.approx(2 / 4)
    assert likeness([], ["a"]) == 0


def test_eighty_chinese_characters_are_as_long_as_two_hundred_letters() -> None:
    assert length_in_letters("年" * 80) == length_in_letters("a" * 200) == 200


@pytest.mark.parametrize(
    ("text", "other", "all_of_it"),
    [
        ("The desk is open on Monday.", "News: the desk is open on every Monday!", True),
        ("The desk is open on Monday.", "The desk is open on Tuesday.", False),
        ("The desk is open.", "The desk is not open.", False),
        ("The desk is open.", "The desk isn't open: it is open.", False),
        ("可以退款。", "不可以退款。", False),
        ("开放到晚上。", "开放到晚上 10 点。", False),
        ("The desk is open on Monday.", "The desk is open.", False),
    ],
)
def test_the_other_says_all_of_it_and_turns_nothing_round(text: str, other: str, all_of_it: bool) -> None:
    assert says_no_more(words_of(text), words_of(other)) is all_of_it
