"""A tiny encoder in the package's own 4-bit format, with random weights, for tests that need no meaning."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from tokenizers import normalizers

from workers import e5_conversion
from workers.e5_format import E5File, Unigram

HIDDEN, LAYERS, HEADS, INTERMEDIATE, POSITIONS = 32, 2, 2, 64, 32
WORDS = ["query", "passage", "the", "password", "reset", "how", "密码", "重置", "怎么"]
ASSIGNED = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x2FA20))]  # beyond, NFKC changes nothing
LETTERS = list("abcdefghijklmnopqrstuvwxyz:?<>/～密码重置怎么我的0123456789")


@pytest.fixture(scope="session")
def unigram() -> Unigram:
    """Words, letters and the special pieces; NFKC but for two dropped, two blanked and one kept character."""
    nfkc = normalizers.NFKC()
    changed = {char: nfkc.normalize_str(char) for char in ASSIGNED if nfkc.normalize_str(char) != char}
    normaliser = changed | {"\x01": "", "\x7f": "", "\u200b": " ", "▁": " "}
    del normaliser["～"]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in WORDS), *dict.fromkeys(LETTERS), "<mask>"]
    scores = [0.0 if piece.startswith("<") and len(piece) > 1 else -1.0 - len(piece) % 3 for piece in pieces]
    return Unigram(pieces=tuple(pieces), scores=tuple(scores), bos=0, pad=1, eos=2, unk=3, normaliser=normaliser)


@pytest.fixture(scope="session")
def e5_file(unigram: Unigram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, packed."""
    path = tmp_path_factory.mktemp("packed") / "tiny-q4.bin"
    path.write_bytes(pack(unigram))
    return path


@pytest.fixture(scope="session")
def tiny_folder(e5_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    e5_conversion.convert(e5_file, folder)
    return folder


@pytest.fixture(scope="session")
def normaliser(unigram: Unigram) -> normalizers.Normalizer:
    return e5_conversion.build_normaliser(unigram)


@pytest.fixture(scope="session")
def opened(e5_file: Path) -> E5File:
    return E5File(e5_file)


def pack(unigram: Unigram) -> bytes:
    """The file format, written from its description."""
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, HIDDEN, LAYERS, HEADS, INTERMEDIATE, len(unigram.pieces), POSITIONS, 2, 1e-12, 32
    )  # fmt: skip
    encoded = [piece.encode() for piece in unigram.pieces]
    head += struct.pack("<5iQ", len(encoded), unigram.bos, unigram.eos, unigram.pad, unigram.unk, sum(map(len, encoded)))
    head += np.cumsum([0, *map(len, encoded)]).astype("<u4").tobytes() + np.array(unigram.scores, "<f4").tobytes() + b"".join(encoded)
    rules = b"".join(
        struct.pack(f"<IB{len(target)}I", ord(source), len(target), *map(ord, target)) for source, target in unigram.normaliser.items()
    )
    head += struct.pack("<iI", len(unigram.normaliser), len(rules)) + rules
    return _with_tensors(head, _tensors(len(unigram.pieces)))


def _tensors(vocabulary: int) -> dict[str, np.ndarray]:
    """Random weights by name; two-dimensional ones are packed to 4 bits."""
    random = np.random.default_rng(7)
    h, f = HIDDEN, INTERMEDIATE
    tensors = {
        "emb.word": random.normal(size=(vocabulary, h)),
        "emb.pos": random.normal(size=POSITIONS * h),
        "emb.type": random.normal(size=2 * h),
    }
    tensors |= {"emb.ln.w": np.ones(h), "emb.ln.b": np.zeros(h)}
    for layer in range(LAYERS):
        for name, shape in {"q": (h, h), "k": (h, h), "v": (h, h), "ao": (h, h), "fi": (f, h), "fo": (h, f)}.items():
            tensors |= {f"l{layer}.{name}.w": random.normal(size=shape), f"l{layer}.{name}.b": random.normal(size=shape[0]) * 0.1}
        for name in ("aln", "oln"):
            tensors |= {f"l{layer}.{name}.w": random.normal(size=h) + 1, f"l{layer}.{name}.b": random.normal(size=h) * 0.1}
    return tensors


def _with_tensors(head: bytes, tensors: dict[str, np.ndarray]) -> bytes:
    directory_size = 4 + sum(2 + len(name) + 21 for name in tensors)
    directory, data, start = struct.pack("<i", len(tensors)), b"", len(head) + directory_size
    for name, values in tensors.items():
        quantised = values.ndim == 2
        packed = quantise(values) if quantised else values.astype("<f4").tobytes()
        directory += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", quantised, values.size, start + len(data), len(packed))
        )
        data += packed
    return head + directory + data


def quantise(values: np.ndarray) -> bytes:
    """Q4_0 blocks: float16 scale, then weight j in the low and weight j + 16 in the high nibble of byte j."""
    blocks = b""
    for row in values.reshape(-1, 32):
        scale = np.float16(np.abs(row).max() / 7)
        nibbles = (np.clip(np.rint(row / scale), -8, 7) + 8).astype(np.uint8)
        blocks += scale.tobytes() + (nibbles[:16] | nibbles[16:] << 4).tobytes()
    return blocks
