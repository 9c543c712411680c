"""Which texts may be nearly the same? Fingerprints of 64 bits, so that few need be compared.

Long texts have a simhash of character shingles: texts that share most of them differ in few bits (Charikar, "Similarity estimation
techniques from rounding algorithms", 2002). Near duplicates within 3 bits are found by bands as in Manku, Jain and Das Sarma,
"Detecting near-duplicates for web crawling" (2007): of four bands of 16 bits, texts that differ in at most three bits have one
alike, so an index on each band finds every candidate.

In a text of a few hundred characters one word more moves more bits than three. Such a text has four minima of hashes of its runs of
four words instead, a band each (Broder, "On the resemblance and containment of documents", 1997): texts that share .85 of their runs
have two of the four alike in .99 of cases. Runs of two words would be too common: a tenth of a large base may have the same least one.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.retrieval.documents.likeness import words_of

MIN_CHARS = 200  # below, too few shingles for a simhash; it hardly notices a word more below `LONG_CHARS` either
LONG_CHARS = 1000
MIN_WORDS = 60  # of a text with minima: in a shorter one a word more often says something else
MAX_BITS = 3
BANDS = 4
_ALIKE = 2  # bands
_SHORT = 1 << 16  # is added to the bands of short texts, so that they have none in common with long ones
_SHINGLE, _RUN = 5, 4  # characters, words
_NO_WORD = re.compile(r"[\W_]+")  # several times faster than `core.text.normalize`, and symbols hardly matter here
_BLOCK = 1 << 14
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_BASE = np.uint64(0x9E3779B97F4A7C15)
_SEEDS = np.array([0x2545F4914F6CDD1D, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of a text: a signed 64-bit number, as databases store it, and whether it is made of minima, as those of short texts are."""

    value: int
    of_short: bool = False

    @classmethod
    def stored(cls, value: int, band: int) -> Fingerprint:
        """The fingerprint as the database has it, given any of its bands."""
        return cls(value, of_short=band >= _SHORT)

    @property
    def bands(self) -> tuple[int, ...]:
        """Its four bands of 16 bits, from the lowest, as they are stored."""
        added = _SHORT if self.of_short else 0
        return tuple(((self.value >> (16 * number)) & 0xFFFF) + added for number in range(BANDS))

    def is_near(self, other: Fingerprint) -> bool:
        """Whether the texts are nearly the same, or with those of short texts, worth comparing."""
        if self.of_short != other.of_short:
            return False
        if self.of_short:
            apart = self.value ^ other.value
            return sum(not (apart >> (16 * number)) & 0xFFFF for number in range(BANDS)) >= _ALIKE
        return bits_apart(self.value, other.value) <= MAX_BITS


def fingerprints_of(text: str) -> tuple[Fingerprint, ...]:
    """Those that a text is found by, the one to be stored first; none of a text too short for any.

    Texts of medium length have a simhash as well: what was stored before they had minima is found by it.
    """
    folded = _NO_WORD.sub("", unicodedata.normalize("NFKC", text)).casefold()
    words = words_of(text) if len(folded) < LONG_CHARS else []
    minima = (Fingerprint(_minima(words), of_short=True),) if len(words) >= MIN_WORDS else ()
    return (*minima, Fingerprint(_simhash(folded))) if len(folded) >= MIN_CHARS else minima


def bits_apart(left: int, right: int) -> int:
    """In how many bits two numbers differ."""
    return ((left ^ right) & 0xFFFFFFFFFFFFFFFF).bit_count()


def _simhash(folded: str) -> int:
    points = np.frombuffer(folded.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    hashes = np.unique(_hashes_of_runs(points, _SHINGLE))
    ones = np.zeros(64, dtype=np.int64)
    for start in range(0, len(hashes), _BLOCK):
        block = np.ascontiguousarray(hashes[start : start + _BLOCK], dtype="<u8")
        ones += np.unpackbits(block.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little").sum(axis=0, dtype=np.int64)
    bits = np.packbits(ones * 2 > len(hashes), bitorder="little")
    return int(bits.view("<i8")[0])


def _minima(words: Sequence[str]) -> int:
    """The lowest 16 bits of the least hash of the runs of words, by four orders, as one number."""
    hashes = np.fromiter((zlib.crc32(word.encode()) for word in words), dtype=np.uint64, count=len(words))
    least = _mixed(_hashes_of_runs(hashes, _RUN)[:, None] ^ _SEEDS).min(axis=0)
    return int((least & np.uint64(0xFFFF)).astype("<u2").view("<i8")[0])


def _hashes_of_runs(items: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """A well-mixed 64-bit hash of every run of so many items."""
    count = len(items) - length + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(length):
        hashes = hashes * _BASE + items[offset : offset + count]
    return _mixed(hashes)


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX[1]
    return hashes ^ (hashes >> np.uint64(31))
