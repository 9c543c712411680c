"""How fast is the encoder? One question, many at once, and imports; everything as ratios within one run.

Run it with `python -m bench.encoder`; it prints a table and writes `bench/results/encoder.json`. Absolute times depend on
the machine and its other work; ratios of things measured in turns hardly do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from core.config import get_settings
from core.metrics import BATCHED_TEXTS, BATCHES
from core.types import Role
from workers.encoder import TorchEncoder
from workers.local import LocalEncoder
from workers.weights import resolve

RESULT = Path(__file__).parent / "results" / "encoder.json"
THREADS = 64
ROUNDS = 3
THINGS_ZH = ["登录密码", "工资单", "年假申请", "公司VPN", "打印机", "会议室", "电子发票", "门禁卡"]
THINGS_EN = ["password", "payslip", "annual leave", "company VPN", "printer", "meeting room", "invoice", "access card"]
FORMS_ZH = ["怎么重置我的{}？", "{}在哪里查询", "为什么我的{}不能用了", "请问{}由哪个部门负责办理"]
FORMS_EN = [
    "How do I reset my {}?",
    "Where can I find the {}",
    "Why does my {} not work any more?",
    "Who is responsible for the {} in our office?",
]
SENTENCE = "如果您在办理{}时遇到问题，请先查看帮助中心的说明，再联系服务台；Please keep the number of your {} at hand. "


def questions(count: int) -> list[str]:
    """Distinct short questions, Chinese and English in turns."""
    zh = [form.format(thing) for form, thing in itertools.product(FORMS_ZH, THINGS_ZH)]
    en = [form.format(thing) for form, thing in itertools.product(FORMS_EN, THINGS_EN)]
    mixed = [question for pair in zip(zh, en, strict=True) for question in pair]
    return [f"{mixed[index % len(mixed)]} {index}" for index in range(count)]


def passages(count: int) -> list[str]:
    """Distinct passages of about 120 tokens."""
    things = list(zip(THINGS_ZH, THINGS_EN, strict=True))
    return [f"{index}. " + "".join(SENTENCE.format(*things[(index + step) % len(things)]) for step in range(3)) for index in range(count)]


def median_ms_in_turns(first: Callable[[str], object], second: Callable[[str], object], texts: list[str]) -> tuple[float, float]:
    """Medians of two ways to do the same, taking turns, so that other work on the machine slows both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for index, text in enumerate(texts):
        started = time.perf_counter()
        (first, second)[index % 2](text)
        times[index % 2].append((time.perf_counter() - started) * 1000)
    return statistics.median(times[0]), statistics.median(times[1])


def per_second(run: Callable[[], object], texts: int) -> float:
    started = time.perf_counter()
    run()
    return texts / (time.perf_counter() - started)


def ask_from_threads(encoder: LocalEncoder, texts: list[str]) -> None:
    """Every text once, from `THREADS` callers that each wait for their answer."""
    threads = [
        threading.Thread(target=lambda share=texts[number::THREADS]: [encoder.encode_query(text) for text in share])
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure_round(raw: TorchEncoder, local: LocalEncoder, round_number: int, count: int) -> dict[str, float]:
    """One measurement of everything, one after the other; texts differ from round to round, so that no cache helps."""
    asked = questions((round_number + 1) * 3 * count)[round_number * 3 * count :]
    alone, together = asked[: 2 * count], asked[2 * count :]
    long = passages(max(8, count // 4))
    batches, texts = BATCHES.labels("encoder"), BATCHED_TEXTS.labels("encoder")
    forward_ms, encode_query_ms = median_ms_in_turns(
        lambda text: raw.forward(raw.tokenize([text], Role.QUERY, wants_tokens=True)), local.encode_query, alone
    )
    result = {
        "forward_ms": forward_ms,
        "encode_query_ms": encode_query_ms,
        "repeated_ms": median_ms_in_turns(local.encode_query, local.encode_query, alone[1::2])[0],
        "offline_questions_per_s": per_second(lambda: raw.encode(together, Role.QUERY), len(together)),
        "offline_passages_per_s": per_second(lambda: raw.encode(long, Role.PASSAGE), len(long)),
        "import_passages_per_s": per_second(lambda: local.encode(long, Role.PASSAGE), len(long)),
    }
    before = batches._value.get(), texts._value.get()
    result["threads_questions_per_s"] = per_second(lambda: ask_from_threads(local, together), len(together))
    result["threads_mean_batch"] = (texts._value.get() - before[1]) / (batches._value.get() - before[0])
    return result


def ratios(measured: dict[str, float]) -> dict[str, float]:
    """What the figures say about each other."""
    return {
        "encode_query / forward": measured["encode_query_ms"] / measured["forward_ms"],
        "64 callers / offline ceiling": measured["threads_questions_per_s"] / measured["offline_questions_per_s"],
        "64 callers / one caller": measured["threads_questions_per_s"] * measured["encode_query_ms"] / 1000,
        "import / offline ceiling": measured["import_passages_per_s"] / measured["offline_passages_per_s"],
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(values[name] for values in rounds), 4) for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=256, help="texts of each measurement in each of three rounds")
    count = parser.parse_args().texts
    settings = get_settings()
    folder = resolve(settings.encoder, settings.models_folder)
    raw = TorchEncoder(folder, device=settings.device, precision=settings.encoder_precision, threads=settings.model_threads)
    local = LocalEncoder()
    local.load()
    rounds = [measure_round(raw, local, number, count) for number in range(ROUNDS)]
    local.close()
    measured, compared = medians(rounds), medians([ratios(values) for values in rounds])
    facts = {"model": raw.model_id, "device": str(raw.device), "dtype": str(raw.dtype), "threads": raw.threads, "callers": THREADS}
    report = {**facts, "measured": measured, "ratios": compared}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"{facts['model']} on {facts['device']}, {facts['dtype']}, {facts['threads']} threads")
    for name, value in {**measured, **compared}.items():
        print(f"{name:32}{value:12.3f}")


if __name__ == "__main__":
    main()
