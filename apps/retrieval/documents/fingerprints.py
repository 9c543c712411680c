"""Which texts are nearly the same? A 64-bit simhash of character shingles: texts that share most of them differ in few bits.

Charikar, "Similarity estimation techniques from rounding algorithms" (2002); near duplicates within 3 bits are found by
bands as in Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling" (2007): of four bands of 16 bits, texts
that differ in at most three bits have one alike, so an index on each band finds every candidate.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

MIN_CHARS = 200  # shorter texts have too few shingles: one word more moves many bits
MAX_BITS = 3
BANDS = 4
_SHINGLE = 5
_NO_WORD = re.compile(r"[\W_]+")  # several times faster than `core.text.normalize`, and symbols hardly matter here
_BLOCK = 1 << 14
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_BASE = np.uint64(0x9E3779B97F4A7C15)


def simhash(text: str) -> int | None:
    """The fingerprint as a signed 64-bit number, as databases store it; None for a text too short to have a meaningful one."""
    folded = _NO_WORD.sub("", unicodedata.normalize("NFKC", text)).casefold()
    if len(folded) < MIN_CHARS:
        return None
    points = np.frombuffer(folded.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    hashes = np.unique(_shingle_hashes(points))
    ones = np.zeros(64, dtype=np.int64)
    for start in range(0, len(hashes), _BLOCK):
        block = np.ascontiguousarray(hashes[start : start + _BLOCK], dtype="<u8")
        ones += np.unpackbits(block.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little").sum(axis=0, dtype=np.int64)
    bits = np.packbits(ones * 2 > len(hashes), bitorder="little")
    return int(bits.view("<i8")[0])


def bands_of(fingerprint: int) -> tuple[int, ...]:
    """Its four bands of 16 bits, from the lowest."""
    return tuple((fingerprint >> (16 * number)) & 0xFFFF for number in range(BANDS))


def bits_apart(left: int, right: int) -> int:
    """In how many bits two fingerprints differ."""
    return ((left ^ right) & 0xFFFFFFFFFFFFFFFF).bit_count()


def _shingle_hashes(points: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A well-mixed 64-bit hash of every run of `_SHINGLE` characters (polynomial, then the finaliser of splitmix64)."""
    count = len(points) - _SHINGLE + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(_SHINGLE):
        hashes = hashes * _BASE + points[offset : offset + count]
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX[1]
    return hashes ^ (hashes >> np.uint64(31))
