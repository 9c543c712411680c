"""How many shapes do the linear layers meet? oneDNN keeps a kernel for each: what they are few of is compiled once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from core import native
from workers.bert_pass import round_up
from workers.encoder import TorchEncoder
from workers.tokens import TokenizedText

KERNELS_A_SHAPE = 4  # the linear layers of a transformer layer differ in size or in what follows them
SHORTEST_PASS, LONGEST_PASS = 3, 512  # one token between two special ones; what the encoder reads at most
LINEAR = ("mkldnn::_linear_pointwise", "mkldnn::_linear_pointwise.binary", "aten::_int_mm")


class LinearLayers(TorchDispatchMode):
    """Notes how many rows each linear layer gets, called from Python or from TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func.name() in LINEAR:
            self.rows.add(args[0].numel() // args[0].size(-1))
        return func(*args, **(kwargs or {}))


def test_a_pass_has_at_most_an_eighth_more_rows_than_tokens() -> None:
    assert [round_up(rows) for rows in (1, 16, 17, 31, 33, 100, 250, 257)] == [1, 16, 17, 31, 36, 104, 256, 288]
    assert all(rows <= round_up(rows) <= rows * 9 / 8 for rows in range(1, LONGEST_PASS + 1))


def test_the_kernels_of_all_passes_fit_into_what_is_kept() -> None:
    assert len({round_up(rows) for rows in range(SHORTEST_PASS, LONGEST_PASS + 1)}) * KERNELS_A_SHAPE < int(native._KERNELS)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="without oneDNN nothing is kept for a shape")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batches_of_many_shapes_share_few_kernels(tiny_folder: Path, precision: str) -> None:
    encoder = TorchEncoder(tiny_folder, device="cpu", precision=precision, threads=1)
    batches = [(texts, tokens) for texts in range(7, 14, 2) for tokens in range(17, 32, 2)]
    counts = {texts * tokens for texts, tokens in batches}
    with LinearLayers() as met:
        for texts, tokens in batches:
            encoder.forward([TokenizedText(ids=[5] * tokens, start=0, end=tokens)] * texts)
    assert met.rows == {round_up(count) for count in counts}
    assert len(met.rows) < len(counts) / 2


def test_what_a_worker_runs_at_its_start_leaves_nothing_to_compile(tiny_folder: Path) -> None:
    encoder = TorchEncoder(tiny_folder, device="cpu", precision="fp32", threads=1)
    with LinearLayers() as met:
        for text in encoder.texts_of_every_length(max_tokens=32):
            encoder.forward([text])
    assert met.rows == {round_up(tokens) for tokens in range(1, 33)}
