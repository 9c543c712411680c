"""What a GGUF file holds: its metadata, and its tensors as float32. The format is that of ggml (docs/gguf.md there), version 3."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.types import FloatArray

Value: TypeAlias = "int | float | bool | str | list[Value]"

_MAGIC, _VERSION = b"GGUF", 3
_DEFAULT_ALIGNMENT = 32
_STRING, _LIST = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_BLOCK = 32
_Q4_1 = np.dtype([("scale", "<f2"), ("least", "<f2"), ("nibbles", "u1", _BLOCK // 2)])
_Q8_0 = np.dtype([("scale", "<f2"), ("values", "i1", _BLOCK)])
_STORED: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 3: _Q4_1, 8: _Q8_0}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies: rows first, as numpy has it; `offset` counts from the start of the file."""

    shape: tuple[int, ...]
    kind: int
    offset: int


class GGUFFile:
    """One file, read as it is asked for. Raises ValueError where it is no GGUF file or holds what is not read here."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._at = 4
        try:
            if self._data[:4] != _MAGIC or self._number("I") != _VERSION:
                raise ValueError(f"{path.name} is not a GGUF file of version {_VERSION}")
            tensors, pairs = self._number("Q"), self._number("Q")
            self.metadata: dict[str, Value] = {self._string(): self._value(self._number("I")) for _ in range(pairs)}
            self._places = self._directory(tensors)
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise ValueError(f"{path.name} is damaged: {error!r}") from error

    def names(self) -> list[str]:
        """The tensors' names."""
        return list(self._places)

    def tensor(self, name: str) -> FloatArray:
        """The tensor as float32, unpacked where it is stored in blocks of 4 or 8 bits. Raises ValueError for other formats."""
        place = self._places.get(name)
        if place is None:
            raise ValueError(f"there is no tensor {name!r}")
        stored = _STORED.get(place.kind)
        if stored is None:
            raise ValueError(f"the tensor {name!r} has the format {place.kind}, which is not read here")
        count = math.prod(place.shape) // (1 if stored.fields is None else _BLOCK)
        if place.offset + count * stored.itemsize > len(self._data):
            raise ValueError(f"the tensor {name!r} is cut off")
        return _unpack(np.frombuffer(self._data, stored, count, place.offset)).reshape(place.shape)

    def _directory(self, tensors: int) -> dict[str, _Place]:
        found = {}
        for _ in range(tensors):
            name = self._string()
            shape = tuple(self._number("Q") for _ in range(self._number("I")))[::-1]
            found[name] = (shape, self._number("I"), self._number("Q"))
        alignment = self.metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        start = -(-self._at // int(str(alignment))) * int(str(alignment))
        return {name: _Place(shape, kind, start + offset) for name, (shape, kind, offset) in found.items()}

    def _value(self, kind: int) -> Value:
        if kind == _STRING:
            return self._string()
        if kind == _LIST:
            inner, count = self._number("I"), self._number("Q")
            return [self._value(inner) for _ in range(count)]
        (value,) = self._unpack(_SCALARS[kind])
        return value  # type: ignore[no-any-return]

    def _string(self) -> str:
        length = self._number("Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _number(self, kind: str) -> int:
        return int(self._unpack(kind)[0])

    def _unpack(self, kind: str) -> tuple:  # type: ignore[type-arg] # what struct gives
        values = struct.unpack_from(f"<{kind}", self._data, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return values


def _unpack(raw: NDArray) -> FloatArray:  # type: ignore[type-arg] # of any of the formats above
    """Q4_1: scale · nibble + least; byte j holds weight j in its low nibble and weight j + 16 in its high one. Q8_0: scale · byte."""
    if raw.dtype == _Q4_1:
        quarters = np.concatenate([raw["nibbles"] & 15, raw["nibbles"] >> 4], axis=1).astype(np.float32)
        return quarters * raw["scale"].astype(np.float32)[:, None] + raw["least"].astype(np.float32)[:, None]
    if raw.dtype == _Q8_0:
        return raw["values"].astype(np.float32) * raw["scale"].astype(np.float32)[:, None]
    return raw.astype(np.float32)
