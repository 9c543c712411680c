"""Typing errors are told quickly: what is looked up, remembered or left out early comes to the same as trying everything."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import rjieba
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.retrieval.query_layer import typos
from apps.retrieval.query_layer.numbers import number_forms
from apps.retrieval.query_layer.typos import corrected

TEXTS = ["年假有多少天", "如何开具发票", "支付宝怎么开通", "登录密码忘记了怎么办", "报销需要哪些材料", "账户余额不足", "请假十五天怎么申请"]
KNOWN = Counter(text[at : at + 2] for text in TEXTS for at in range(len(text) - 1))
COMMON = bytes(byte for lead in range(0xB0, 0xD8) for trail in range(0xA1, 0xFF) for byte in (lead, trail)).decode("gb2312", "ignore")
SOUNDS = {char: {typos._blurred(sound) for sound in typos._sounds(char)} for char in COMMON}
OWN = frozenset({"云陆", "问路", "账号"})


def frequencies(terms: Sequence[str]) -> Mapping[str, int]:
    return {term: KNOWN[term] for term in terms if term in KNOWN}


def same_sound(char: str) -> list[str]:
    """The common characters of which a reading equals one of this character's, or differs as many speakers do not hear it."""
    return [other for other in COMMON if SOUNDS[other] & SOUNDS.get(char, set())]


def every_pair(run: str) -> tuple[float, str]:
    """The best word of the same sound as both characters, found by trying all."""
    words = [first + second for first, second in product(same_sound(run[0]), same_sound(run[1]))]
    found = [word for word in words if word in KNOWN and (rjieba.has_word(word) or word in OWN)]
    return max(((math.log1p(KNOWN[word]) * typos.WORD_BONUS, word) for word in found), default=(0.0, run))


def every_cut(word: str) -> tuple[str, ...]:
    """The fewest syllables of all ways to cut the word, the last ones as long as can be."""
    cuts = [(word[:end], *rest) for end in range(2, 7) if word[:end] in typos._by_sound()[0] for rest in [every_cut(word[end:])] if rest]
    cuts += [(word,)] if 2 <= len(word) <= 6 and word in typos._by_sound()[0] else []
    return min(cuts, key=lambda cut: (len(cut), [-len(part) for part in reversed(cut)]), default=())


mistyped = st.sampled_from([*KNOWN, *OWN]).flatmap(lambda pair: st.tuples(*(st.sampled_from(same_sound(char) or [char]) for char in pair)))


@settings(deadline=None, max_examples=40)
@given(mistyped.map("".join) | st.text(st.sampled_from(COMMON), min_size=2, max_size=2))
def test_two_characters_become_the_word_that_trying_all_pairs_finds(run: str) -> None:
    assert typos._best_pair(run, 0, frequencies, OWN) == every_pair(run)


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(typos._by_sound()[0])) | st.text("aeghinou", max_size=2), max_size=4).map("".join))
def test_a_word_is_cut_into_the_syllables_that_trying_all_cuts_finds(word: str) -> None:
    assert typos._syllables(word) == every_cut(word)


@settings(deadline=None)
@given(st.text(st.sampled_from([*"".join(TEXTS), *COMMON[:200]]), max_size=12))
def test_a_character_is_suspicious_where_no_pair_with_a_neighbour_is_known(run: str) -> None:
    known_at = {place for place in range(len(run) - 1) if run[place : place + 2] in KNOWN}
    alone = [n for n, char in enumerate(run) if not {n - 1, n} & known_at and char not in typos._NEVER_SUSPICIOUS]
    assert typos._suspicious(run, frequencies(typos._pairs(run))) == alone


def test_pinyin_that_the_index_has_as_a_word_stays_while_other_pinyin_is_read() -> None:
    known = {**KNOWN, "fapiao": 1}
    assert corrected("fapiao kaitong", lambda terms: {term: known[term] for term in terms if term in known}) == "fapiao 开通"


@given(st.text(max_size=30))
def test_a_text_without_numerals_has_no_other_number_forms(text: str) -> None:
    if not any(char.isdigit() or char in "零〇一二两三四五六七八九十百千万亿" for char in text):
        assert number_forms(text) == []
