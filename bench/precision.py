"""What does QA_ENCODER_PRECISION cost and gain? Speed, memory, cosine against fp32, and FAQ top-1; each as ratios within one run.

`python -m bench.precision --data FOLDER...` takes folders with `faq.jsonl` (`id`, `question`) and `queries.jsonl` (`query`,
`relevant_id`), prints a table and writes `bench/results/precision.json`. Formats that this machine cannot run are listed with the reason.
Each format's memory is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.encoder import passages, questions
from core.config import get_settings
from core.errors import ConfigurationError
from core.types import FloatArray, Role
from workers.encoder import TorchEncoder
from workers.heartbeat import memory_mb
from workers.weights import resolve

RESULT = Path(__file__).parent / "results" / "precision.json"
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
ROUNDS = 3

Figures = dict[str, float]


def load(precision: str) -> TorchEncoder:
    settings = get_settings()
    folder = resolve(settings.encoder, settings.models_folder)
    return TorchEncoder(folder, device=settings.device, precision=precision, threads=settings.model_threads)


def memory_of(precision: str) -> int:
    """MiB that loading the model and one batch add to a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return int(pool.apply(_memory_added, (precision,)))


def _memory_added(precision: str) -> int:
    before = memory_mb()
    load(precision).encode(passages(8), Role.PASSAGE)
    return memory_mb() - before


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure_speed(encoders: dict[str, TorchEncoder], count: int) -> dict[str, Figures]:
    """Milliseconds of one question and passages a second, the formats in turns."""
    short, long = questions(count), passages(max(8, count // 4))
    one: dict[str, list[float]] = {name: [] for name in encoders}
    many: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(ROUNDS):
        for text in short:
            for name, encoder in encoders.items():
                one[name].append(seconds(lambda encoder=encoder, text=text: encoder.encode([text], Role.QUERY)) * 1000)
        for name, encoder in encoders.items():
            many[name].append(len(long) / seconds(lambda encoder=encoder: encoder.encode(long, Role.PASSAGE, max_tokens=256)))
    return {name: {"question_ms": statistics.median(one[name]), "passages_per_s": statistics.median(many[name])} for name in encoders}


def measure_quality(encoders: dict[str, TorchEncoder], folder: Path, most: int) -> dict[str, Figures]:
    """FAQ top-1 by vectors alone and the cosine of the same question's vectors against fp32's."""
    faqs = [json.loads(line) for line in (folder / "faq.jsonl").read_text(encoding="utf-8").splitlines()]
    asked = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()][:most]
    vectors = {
        name: (
            encoder.encode([faq["question"] for faq in faqs], Role.QUERY),
            encoder.encode([row["query"] for row in asked], Role.QUERY),
        )
        for name, encoder in encoders.items()
    }
    right = [row["relevant_id"] for row in asked]
    ids = [faq["id"] for faq in faqs]
    exact = vectors["fp32"][1]
    return {
        name: {
            "top1": top1(index, queries, ids, right),
            "cosine_mean": float((queries * exact).sum(1).mean()),
            "cosine_min": float((queries * exact).sum(1).min()),
        }
        for name, (index, queries) in vectors.items()
    }


def top1(index: FloatArray, queries: FloatArray, ids: list[str], right: list[str]) -> float:
    best = np.concatenate([(queries[start : start + 512] @ index.T).argmax(1) for start in range(0, len(queries), 512)])
    return float(np.mean([ids[found] == wanted for found, wanted in zip(best, right, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="folders with faq.jsonl and queries.jsonl")
    parser.add_argument("--count", type=int, default=40, help="questions of each of three rounds of timing")
    parser.add_argument("--most", type=int, default=1500, help="queries of each folder")
    arguments = parser.parse_args()
    encoders, refused = dict[str, TorchEncoder](), dict[str, str]()
    for precision in PRECISIONS:
        try:
            encoders[precision] = load(precision)
        except ConfigurationError as error:
            refused[precision] = error.message
    report = {
        "encoder": get_settings().encoder,
        "device": str(encoders["fp32"].device),
        "threads": encoders["fp32"].threads,
        "refused": refused,
        "memory_mb": {name: memory_of(name) for name in encoders},
        "speed": measure_speed(encoders, arguments.count),
        "quality": {folder.name: measure_quality(encoders, folder, arguments.most) for folder in arguments.data},
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
