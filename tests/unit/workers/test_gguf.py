from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.workers.gguf_writer import f32, q4_1, q8_0, write_gguf
from workers.gguf import GGUFFile

METADATA = {"general.name": "tiny 模型", "count": 7, "eps": 0.5, "yes": True, "words": ["a", "é"], "numbers": [3, 1]}


def test_metadata_is_what_was_written(tmp_path: Path) -> None:
    assert GGUFFile(write_gguf(tmp_path / "a.gguf", METADATA, {})).metadata == METADATA


def test_tensors_are_unpacked_from_each_format(tmp_path: Path) -> None:
    quarters = [number % 16 for number in range(32)]
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors = {
        "plain": f32(plain),
        "half": ((2,), 1, np.array([0.5, -2], "<f2").tobytes()),
        "four": ((2, 32), 3, q4_1(0.5, -1.0, quarters) + q4_1(2.0, 0.0, quarters[::-1])),
        "eight": ((1, 32), 8, q8_0(0.25, range(-16, 16))),
    }
    file = GGUFFile(write_gguf(tmp_path / "a.gguf", METADATA, tensors))
    assert file.names() == list(tensors)
    np.testing.assert_array_equal(file.tensor("plain"), plain)
    np.testing.assert_array_equal(file.tensor("half"), [0.5, -2])
    np.testing.assert_array_equal(file.tensor("four"), [[q * 0.5 - 1 for q in quarters], [q * 2.0 for q in quarters[::-1]]])
    np.testing.assert_array_equal(file.tensor("eight"), [[number * 0.25 for number in range(-16, 16)]])


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    file = GGUFFile(write_gguf(tmp_path / "a.gguf", {}, {"odd": ((32,), 14, b"x" * 20), "short": ((99,), 0, b"x" * 8)}))
    for name, reason in (("odd", "format 14"), ("short", "cut off"), ("none", "no tensor")):
        with pytest.raises(ValueError, match=reason):
            file.tensor(name)


@pytest.mark.parametrize("content", [b"", b"GGML0000", b"GGUF\x02\0\0\0", b"GGUF\x03\0\0\0\x01"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.gguf"):
        GGUFFile(tmp_path / "a.gguf")


def test_a_file_cut_off_in_its_head_is_refused(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "a.gguf", METADATA, {}).read_bytes()
    (tmp_path / "a.gguf").write_bytes(whole[:60])
    with pytest.raises(ValueError, match="damaged"):
        GGUFFile(tmp_path / "a.gguf")
