"""Fingerprints: near for texts that are nearly the same, far for others."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval.documents.fingerprints import MAX_BITS, Fingerprint, bits_apart, fingerprints_of

WORDS = ["".join(letters) for letters in itertools.product("bdgklmnrst", "aeiou", "bdgklmnrst", "aeiou")]
RULE = (
    "员工因私出国旅行应当提前十五个工作日在系统中提交申请，写明目的地、行程与联系方式。部门负责人在三个工作日内审批，人力资源部备案。"
    "返回后一周内销假；逾期不归的，按照考勤管理办法处理。涉密岗位的员工另须填写保密承诺书。"
)


def prose(seed: int, words: int = 300) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(words))


def near(left: str, right: str) -> bool:
    return any(one.is_near(other) for one in fingerprints_of(left) for other in fingerprints_of(right)[:1])


def test_a_long_text_with_one_word_more_is_nearly_the_same() -> None:
    assert all(near(prose(seed, 1500), prose(seed, 1500) + " banana") for seed in range(20))


@pytest.mark.parametrize("words", [65, 120, 190])
def test_so_is_one_of_medium_length(words: int) -> None:
    assert all(near(prose(seed, words), prose(seed, words) + " banana") for seed in range(20))


def test_so_is_a_chinese_paragraph_of_a_hundred_characters() -> None:
    assert 100 < len(RULE) < 120
    assert near(RULE, RULE.replace("返回后一周内", "返回后一周之内"))
    assert not near(RULE, "".join(random.Random(1).sample(RULE, len(RULE))))


def test_what_was_stored_of_a_medium_text_before_is_found_by_its_simhash() -> None:
    of_short, simhash = fingerprints_of(prose(1, 150))
    assert (of_short.of_short, simhash.of_short) == (True, False)
    assert fingerprints_of(prose(1, 150) + ".")[1].is_near(Fingerprint.stored(simhash.value, simhash.bands[0]))


def test_case_punctuation_and_blanks_do_not_count() -> None:
    for text in (prose(1), prose(1, 100)):
        assert fingerprints_of(text) == fingerprints_of(text.upper().replace(" ", ",  ") + ".")


@pytest.mark.parametrize("words", [300, 100])
def test_other_texts_are_far(words: int) -> None:
    prints = [fingerprints_of(prose(seed, words))[0] for seed in range(60)]
    assert not any(left.is_near(right) for at, left in enumerate(prints) for right in prints[:at])


def test_a_short_text_has_none() -> None:
    assert fingerprints_of("Yes.") == ()
    assert fingerprints_of("年假" * 29) == ()
    assert fingerprints_of("一二三四五六七八九十" * 6) != ()


@given(st.integers(-(2**63), 2**63 - 1), st.sets(st.integers(0, 63), max_size=MAX_BITS))
def test_fingerprints_within_three_bits_share_a_band(number: int, flipped: set[int]) -> None:
    other = number ^ sum(1 << bit for bit in flipped)
    assert bits_apart(number, other) == len(flipped)
    assert any(left == right for left, right in zip(Fingerprint(number).bands, Fingerprint(other).bands, strict=True))


def test_those_of_short_texts_have_no_band_in_common_with_those_of_long_ones() -> None:
    short, long = Fingerprint(12345, of_short=True), Fingerprint(12345)
    assert not set(short.bands) & set(long.bands)
    assert not short.is_near(long)
    assert Fingerprint.stored(short.value, short.bands[2]) == short
    assert Fingerprint.stored(long.value, long.bands[2]) == long
