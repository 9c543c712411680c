import struct
from pathlib import Path

import numpy as np
import pytest

from workers.e5_format import E5File, Unigram, dequantise


def test_a_block_holds_its_second_half_in_the_high_nibbles() -> None:
    block = np.float16(0.5).tobytes() + bytes([0x8F, 0x08, *[0x88] * 14])
    values = dequantise(block)
    assert values[0] == 3.5 and values[16] == 0.0  # 0x8F: low nibble 15, high nibble 8
    assert values[1] == 0.0 and values[17] == -4.0  # 0x08: low nibble 8, high nibble 0
    assert not values[2:16].any() and not values[18:].any()


def test_a_file_gives_back_its_tokenizer_and_sizes(opened: E5File, unigram: Unigram) -> None:
    assert opened.unigram.pieces == unigram.pieces
    assert opened.unigram.scores == pytest.approx(unigram.scores)
    assert opened.unigram.normaliser == unigram.normaliser
    assert (opened.shape.hidden, opened.shape.layers, opened.shape.layer_norm_eps) == (32, 2, 1e-12)


def test_tensors_are_found_by_name_in_both_formats(opened: E5File) -> None:
    assert opened.tensor("emb.ln.w").tolist() == [1.0] * 32
    assert opened.tensor("l1.fi.w").shape == (64 * 32,)
    with pytest.raises(KeyError):
        opened.tensor("l2.fi.w")


@pytest.mark.parametrize("start", [b"GGUF" + struct.pack("<I", 1), b"E5S1" + struct.pack("<I", 2)])
def test_another_format_or_version_is_refused(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(start + b"\0" * 64)
    with pytest.raises(ValueError, match="not an E5S1 file of version 1"):
        E5File(path)
