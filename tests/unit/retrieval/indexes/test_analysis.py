"""Which terms texts get."""

from __future__ import annotations

import pytest

from apps.retrieval.indexes.analysis import MAX_TERM_CHARS, analyze, fold


def test_chinese_gives_words_and_neighbouring_pairs() -> None:
    assert set(analyze("信用卡账单")) == {"信用", "信用卡", "账单", "用卡", "卡账"}


def test_english_gives_stems_without_function_words() -> None:
    assert analyze("How do I reset the passwords?") == ["how", "reset", "password"]


def test_question_words_and_negations_stay() -> None:
    assert analyze("when, where, why not") == ["when", "where", "whi", "not"]


def test_mixed_text_is_cut_where_the_script_changes() -> None:
    assert analyze("ATM取款5G") == ["atm", "取款", "取款", "5g"]


@pytest.mark.parametrize(("text", "same"), [("帳單", "账单"), ("網路", "网络"), ("ＶＰＮ", "vpn"), ("user’s", "USER'S")])
def test_forms_of_one_word_are_folded(text: str, same: str) -> None:
    assert fold(text) == fold(same)


def test_names_of_languages_keep_their_signs() -> None:
    assert analyze("C++ or C#, 1+1") == ["c++", "c#", "1", "1"]


def test_a_text_of_stop_words_alone_keeps_them() -> None:
    assert analyze("is it") == ["is", "it"]
    assert analyze("吗") == ["吗"]


def test_terms_hold_no_space_and_are_bounded() -> None:
    terms = analyze("a" * 5000 + " \u3000\x00\ud800 " + "好 " * 100)
    assert not any(char.isspace() for term in terms for char in term)
    assert max(map(len, terms)) <= MAX_TERM_CHARS


def test_signs_alone_have_no_terms() -> None:
    assert analyze("?! 😀 ——") == []
