"""Text: what is cleaned away, when two questions are the same, and which language a text is in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import clean_answer, clean_text, guess_locale, has_letters, normalize, plain_han
from core.types import Locale


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("年假有几天？", "年假有几天"),
        ("ＡＢＣ１２３", "abc123"),
        ("How do I  reset my password?", "how do i reset my password"),
        ("WiFi 密码", "wifi密码"),
        ("年 假 几 天", "年假几天"),
        ("cafe\u0301", "café"),
        ("密\u200b码", "密码"),
    ],
)
def test_width_case_punctuation_and_blanks_do_not_make_another_question(one: str, other: str) -> None:
    assert normalize(one) == normalize(other)


@pytest.mark.parametrize(("one", "other"), [("A3 还是 A5", "A3 还是 A4"), ("can i", "cani"), ("😀", "😢"), ("1.5", "15")])
def test_what_a_reader_would_tell_apart_stays_apart(one: str, other: str) -> None:
    assert normalize(one) != normalize(other)


@given(st.text())
def test_cleaning_first_does_not_make_another_question(text: str) -> None:
    assert normalize(clean_text(text)) == normalize(text)


@given(st.text(alphabet="年假几天ＡＢab12 ，。？!-/\t\u3000"))
def test_normalizing_twice_is_normalizing_once(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@given(st.text())
def test_cleaned_text_has_no_control_characters_and_no_outer_blanks(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned == cleaned.strip()
    assert "\x00" not in cleaned
    assert "\n" not in cleaned


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


def test_bidirectional_marks_are_cleaned_away() -> None:
    assert clean_text("\u202eabc\u2066def\ufeff") == "abcdef"


def test_an_answer_keeps_its_lines() -> None:
    assert clean_answer(" 第一步\r\n\t第二步\x07\r第三步 ") == "第一步\n\t第二步\n第三步"


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("年假有几天", Locale.ZH),
        ("How many days", Locale.EN),
        ("VPN 连不上怎么办", Locale.ZH),
        ("What does 年假 mean here", Locale.EN),
        ("12345", Locale.EN),
    ],
)
def test_a_language_is_guessed_by_words(text: str, locale: Locale) -> None:
    assert guess_locale(text) is locale


def test_symbols_and_digits_have_no_language() -> None:
    assert has_letters("a1")
    assert has_letters("年")
    assert not has_letters("123 ?! 😀")


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1))
def test_letters_and_digits_are_never_lost(text: str) -> None:
    kept = [char for char in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(char)[0] in "LN"]
    assert [char for char in normalize(text) if unicodedata.category(char)[0] in "LN"] == kept


def test_radicals_that_look_like_characters_become_them() -> None:
    assert plain_han("普通员⼯的⻓度、⻔⻛") == "普通员工的长度、门风"
    assert plain_han("Rule ⿰ stays, 员工 too") == "Rule ⿰ stays, 员工 too"
