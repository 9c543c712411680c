"""How many shapes do the linear layers meet? oneDNN keeps a kernel for each: what they are few of is compiled once and kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from workers.bert_pass import round_up
from workers.encoder import TorchEncoder
from workers.tokens import TokenizedText

LONGEST_PASS = 512  # tokens: what the encoder reads at most
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


def test_a_pass_has_one_row_or_an_eighth_more_than_tokens_at_most() -> None:
    assert [round_up(rows) for rows in (1, 16, 17, 31, 33, 100, 250, 257)] == [2, 16, 18, 32, 36, 104, 256, 288]
    assert all(rows <= round_up(rows) <= max(rows + 1, rows * 9 / 8) for rows in range(1, LONGEST_PASS + 1))


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


TWICE = """
import sys
from pathlib import Path
import core.native
from workers.encoder import TorchEncoder
from workers.tokens import TokenizedText
encoder = TorchEncoder(Path(sys.argv[1]), device="cpu", threads=1)
for _ in range(2):
    print("round", flush=True)
    for rows in range(1, int(sys.argv[2]) + 1):
        encoder.forward([TokenizedText(ids=[5], start=0, end=1)] * rows)
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="without oneDNN nothing is kept for a shape")
def test_no_linear_layer_is_compiled_twice(tiny_folder: Path) -> None:
    command = [sys.executable, "-c", TWICE, str(tiny_folder), str(LONGEST_PASS)]
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_CACHE_CAPACITY")} | {
        "ONEDNN_VERBOSE": "profile_create"
    }
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    compiled = [
        [line for line in part.splitlines() if "cache_miss" in line and "inner_product" in line] for part in told.split("round")[1:]
    ]
    assert compiled[0] and not compiled[1]
