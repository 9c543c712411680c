"""Fingerprints: near for texts that are nearly the same, far for others."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval.documents.fingerprints import MAX_BITS, bands_of, bits_apart, simhash

WORDS = ["".join(letters) for letters in itertools.product("bdgklmnrst", "aeiou", "bdgklmnrst", "aeiou")]


def prose(seed: int, words: int = 300) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(words))


def test_a_text_with_one_word_more_is_nearly_the_same() -> None:
    apart = [bits_apart(simhash(prose(seed, 1500)) or 0, simhash(prose(seed, 1500) + " banana") or 0) for seed in range(20)]
    assert max(apart) <= MAX_BITS


def test_case_punctuation_and_blanks_do_not_count() -> None:
    text = prose(1)
    assert simhash(text) == simhash(text.upper().replace(" ", ",  ") + ".")


def test_other_texts_are_far() -> None:
    prints = [simhash(prose(seed)) or 0 for seed in range(60)]
    assert min(bits_apart(left, right) for at, left in enumerate(prints) for right in prints[:at]) > MAX_BITS


def test_a_short_text_has_none() -> None:
    assert simhash("Yes.") is None
    assert simhash("年" * 199) is None
    assert simhash("年假" * 100) is not None


@given(st.integers(-(2**63), 2**63 - 1), st.sets(st.integers(0, 63), max_size=MAX_BITS))
def test_fingerprints_within_three_bits_share_a_band(fingerprint: int, flipped: set[int]) -> None:
    other = fingerprint ^ sum(1 << bit for bit in flipped)
    assert bits_apart(fingerprint, other) == len(flipped)
    assert any(left == right for left, right in zip(bands_of(fingerprint), bands_of(other), strict=True))
