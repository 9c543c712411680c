"""Which question was meant where characters of the same sound were typed, or pinyin? Told by the words that the index has.

A character is suspicious if no pair with a neighbour is in the index. It is replaced by the one of the same sound whose
pairs are there, best as a word (Zhang et al. 2015, HANSpeller, with the index as its language model). Pinyin is read as
the characters whose pairs are the most frequent.
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, lru_cache
from itertools import product

import rjieba

Frequencies = Callable[[Sequence[str]], Mapping[str, int]]
"""How many entries have each of the terms; terms that none has may be left out."""

MAX_CORRECTIONS = 3
MAX_RUN = 60
MAX_PATHS = 40
WORD_BONUS = 2.0
# Questions hold these beside words that they stand beside in no text: who, which, how, and characters of grammar.
_NEVER_SUSPICIOUS = frozenset(
    "哪谁何什甚么怎吗呢吧啊呀嘛咋啥几多少的地得了着过是为在和与或及由于被把将从对向以其之此该每某各这那我你您他她它们请问有没不要会能可否"
)
_HAN_RUN = re.compile(r"[\u4e00-\u9fff]{2,}")
_LATIN = re.compile(r"(?<![a-z0-9'])[a-z]{4,36}(?![a-z0-9'])")
# Sounds that many speakers do not tell apart.
_ALIKE = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("ng", "n"))


def corrected(text: str, frequencies: Frequencies, own_words: Collection[str] = frozenset()) -> str | None:
    """The folded text with what seems mistyped replaced, or None where nothing is suspicious or nothing better is known.

    `own_words`, of two characters each, count as words beside those of the general dictionary.
    """
    replaced = _HAN_RUN.sub(lambda run: _corrected_run(run[0], frequencies, own_words) if len(run[0]) <= MAX_RUN else run[0], text)
    pinyin = {word for word in _LATIN.findall(replaced) if len(_syllables(word)) > 1}
    unknown = pinyin.difference(word for word, count in frequencies(list(pinyin)).items() if count) if pinyin else pinyin
    if unknown:
        replaced = _LATIN.sub(lambda word: (_from_pinyin(word[0], frequencies) if word[0] in unknown else None) or word[0], replaced)
    return replaced if replaced != text else None


def _corrected_run(run: str, frequencies: Frequencies, own_words: Collection[str]) -> str:
    known = frequencies(_pairs(run))
    for _ in range(MAX_CORRECTIONS):
        places = _suspicious(run, known)
        if not places:
            return run
        best = max((_best_at(run, place, frequencies, own_words) for place in places), default=(0.0, run))
        if best[0] <= 0.0:
            best = max((_best_pair(run, place, frequencies, own_words) for place in places if place + 1 in places), default=(0.0, run))
        if best[0] <= 0.0:
            return run
        run = best[1]
        known = frequencies(_pairs(run))
    return run


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run) - 1)]


def _suspicious(run: str, known: Mapping[str, int]) -> list[int]:
    """Places none of whose pairs is in the index."""
    pairs = [False, *(bool(known.get(pair)) for pair in _pairs(run)), False]
    return [place for place, char in enumerate(run) if not (pairs[place] or pairs[place + 1] or char in _NEVER_SUSPICIOUS)]


def _is_in_word(run: str, place: int) -> bool:
    """Whether a word of the general dictionary, of two to four characters, stands over the place."""
    spans = [(start, start + length) for length in (2, 3, 4) for start in range(max(0, place - length + 1), place + 1)]
    return any(rjieba.has_word(run[start:end]) for start, end in spans if end <= len(run))


def _best_at(run: str, place: int, frequencies: Frequencies, own_words: Collection[str]) -> tuple[float, str]:
    """The best replacement of one character and its score; 0 where none will do.

    It must make a word that the index has; or, unless the character is part of a word as it is, two pairs of the index, or
    one where no other character makes any.
    """
    others = _others_of_sound(run[place])
    left, right = run[place - 1 : place], run[place + 1 : place + 2]
    known = frequencies([*(left + char for char in others if left), *(char + right for char in others if right)])
    pairs_of = {char: [pair for pair in (left + char if left else "", char + right if right else "") if known.get(pair)] for char in others}
    possible = [char for char in others if pairs_of[char]]
    free = not _is_in_word(run, place)
    scored = [
        (_score(pairs_of[char], known, own_words), run[:place] + char + run[place + 1 :])
        for char in possible
        if any(_is_word(pair, own_words) for pair in pairs_of[char]) or (free and (len(pairs_of[char]) == 2 or len(possible) == 1))
    ]
    return max(scored, default=(0.0, run))


def _best_pair(run: str, place: int, frequencies: Frequencies, own_words: Collection[str]) -> tuple[float, str]:
    """The best replacement of two characters by a word of the same sound that the index has."""
    first, second = _blurred_sounds(run[place]), _blurred_sounds(run[place + 1])
    words = {word for sounds in product(first, second) for word in _words_of_sounds(*sounds)}
    words.update(word for word in own_words if _sounds_so(word[0], first) and _sounds_so(word[1], second))
    known = frequencies(list(words))
    found = [(_score([word], known, own_words), run[:place] + word + run[place + 2 :]) for word in words if known.get(word)]
    return max(found, default=(0.0, run))


def _is_word(pair: str, own_words: Collection[str]) -> bool:
    return bool(rjieba.has_word(pair)) or pair in own_words


def _score(pairs: Sequence[str], known: Mapping[str, int], own_words: Collection[str]) -> float:
    return sum(math.log1p(known[pair]) * (WORD_BONUS if _is_word(pair, own_words) else 1.0) for pair in pairs)


def _from_pinyin(word: str, frequencies: Frequencies) -> str | None:
    """The characters that a word of pinyin stands for, or None where the index has no chain of pairs for it."""
    syllables = _syllables(word)
    paths = [(0.0, char) for char in _by_sound()[0].get(syllables[0], ())]
    for syllable in syllables[1:]:
        steps = [(score, said, said[-1] + char) for score, said in paths for char in _by_sound()[0].get(syllable, ())]
        known = frequencies([pair for _, _, pair in steps])
        longer = [
            (score + math.log1p(known[pair]) * (WORD_BONUS if rjieba.has_word(pair) else 1.0), said + pair[1])
            for score, said, pair in steps
            if known.get(pair)
        ]
        paths = sorted(longer, reverse=True)[:MAX_PATHS]
    return paths[0][1] if paths else None


def _syllables(word: str) -> tuple[str, ...]:
    """The fewest syllables of pinyin, of two letters or more, that make up the word; none where it is not pinyin."""
    sounds = _by_sound()[0]
    fewest: dict[int, tuple[str, ...]] = {0: ()}
    for start in range(len(word) - 1):
        if start > max(fewest):
            break
        before = fewest.get(start)
        if before is None:
            continue
        for end in range(start + 2, min(start + 6, len(word)) + 1):
            if word[start:end] in sounds and (end not in fewest or len(fewest[end]) > len(before) + 1):
                fewest[end] = (*before, word[start:end])
    return fewest.get(len(word), ())


@lru_cache(maxsize=8192)
def _others_of_sound(char: str) -> tuple[str, ...]:
    """The common characters that sound like this one, which may stand in its place."""
    said = dict.fromkeys(other for sound in _blurred_sounds(char) for other in _by_sound()[1].get(sound, ()))
    return tuple(other for other in said if other != char and other not in _NEVER_SUSPICIOUS)


@lru_cache(maxsize=16_384)
def _words_of_sounds(first: str, second: str) -> tuple[str, ...]:
    """The words of two common characters in the general dictionary that sound so. Looking through all pairs takes a millisecond."""
    alike = _by_sound()[1]
    return tuple(word for word in map("".join, product(alike.get(first, ()), alike.get(second, ()))) if rjieba.has_word(word))


def _sounds_so(char: str, sounds: Collection[str]) -> bool:
    return any(char in _by_sound()[1].get(sound, ()) for sound in sounds)


@cache
def _blurred_sounds(char: str) -> tuple[str, ...]:
    """The readings of a character without what many speakers do not tell apart."""
    return tuple(dict.fromkeys(_blurred(sound) for sound in _sounds(char)))


def _blurred(sound: str) -> str:
    """A syllable without the differences that many speakers do not make."""
    for clear, blurred in _ALIKE:
        sound = sound.replace(clear, blurred)
    return "l" + sound[1:] if sound.startswith("n") else sound


@cache
def _sounds(char: str) -> tuple[str, ...]:
    """The readings of a character without tones; ü is v, as it is typed."""
    readings, without_tone = _readings()
    said = readings.get(ord(char), "")
    return tuple(dict.fromkeys(without_tone(reading).replace("ü", "v") for reading in said.split(",") if reading))


@cache
def _readings() -> tuple[Mapping[int, str], Callable[[str], str]]:
    """pypinyin's readings of single characters. Its phrases, which take 40 MB and a second, are left out (its constants.py)."""
    for name in ("PYPINYIN_NO_PHRASES", "PYPINYIN_NO_DICT_COPY"):
        os.environ.setdefault(name, "true")
    from pypinyin.contrib.tone_convert import to_normal
    from pypinyin.pinyin_dict import pinyin_dict

    return pinyin_dict, to_normal


@cache
def _by_sound() -> tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]]:
    """The 3,755 characters of GB 2312's first level by their readings, and by their readings blurred."""
    exact: dict[str, list[str]] = defaultdict(list)
    alike: dict[str, list[str]] = defaultdict(list)
    for lead in range(0xB0, 0xD8):
        for trail in range(0xA1, 0xFF):
            char = bytes((lead, trail)).decode("gb2312", "ignore")
            for sound in _sounds(char) if char else ():
                exact[sound].append(char)
                alike[_blurred(sound)].append(char)
    return exact, alike
