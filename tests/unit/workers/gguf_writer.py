"""Writes GGUF files from the description of their format, for tests."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Tensor = tuple[tuple[int, ...], int, bytes]  # shape with the rows first, format, stored bytes


def write_gguf(path: Path, metadata: Mapping[str, object], tensors: Mapping[str, Tensor]) -> Path:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(name) + value(one) for name, one in metadata.items())
    data = b""
    for name, (shape, kind, stored) in tensors.items():
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, len(data))
        data += stored + b"\0" * (-len(stored) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content.encode())) + content.encode()


def value(one: object) -> bytes:
    if isinstance(one, bool):
        return struct.pack("<I?", 7, one)
    if isinstance(one, int):
        return struct.pack("<II", 4, one)
    if isinstance(one, float):
        return struct.pack("<If", 6, one)
    if isinstance(one, str):
        return struct.pack("<I", 8) + text(one)
    assert isinstance(one, list)
    kind = 8 if one and isinstance(one[0], str) else 4
    return struct.pack("<IIQ", 9, kind, len(one)) + b"".join(text(item) if kind == 8 else struct.pack("<I", item) for item in one)


def f32(values: np.ndarray) -> Tensor:
    return values.shape, 0, values.astype("<f4").tobytes()


def q4_1(scale: float, least: float, quarters: Sequence[int]) -> bytes:
    """One block of 32."""
    return np.array([scale, least], "<f2").tobytes() + bytes(
        low | high << 4 for low, high in zip(quarters[:16], quarters[16:], strict=True)
    )


def q8_0(scale: float, numbers: Sequence[int]) -> bytes:
    """One block of 32."""
    return np.float16(scale).tobytes() + np.array(numbers, "i1").tobytes()
