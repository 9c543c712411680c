"""What do 2,000 malformed and hostile files cost, and does each get a clear answer?

    python -m bench.hostile_files      prints the counts and writes bench/results/hostile_files.json

The files are made from `tests.sample_files` and `tests.hostile_files`, always the same: valid files of every format cut short, with bits turned over,
with parts missing or doubled, under wrong names, and the ones made to do harm (bombs, entities, lies, passwords, depth, loops, amplifiers).
A file counts as answered if it gives a document or an error that names it, its reason and what to do.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("QA_DATA_DIR", tempfile.mkdtemp(prefix="wenlu-bench-"))

from apps.retrieval.parsing.readers import close_readers
from apps.retrieval.parsing.refusal import ADVICE, ParseLimits
from tests import sample_files
from tests.file_results import read_all
from tests.hostile_files import COSTLY

FILES = 2_000
LIMITS = ParseLimits(memory_mb=512, cpu_s=5, wall_s=8.0)
HARMFUL = {**sample_files.HOSTILE, **COSTLY}
_WRONG = (".pdf", ".docx", ".xlsx", ".html", ".txt", ".zip", ".epub", ".jsonl", ".csv", ".exe", "")


def files() -> Iterator[tuple[str, bytes]]:
    """`FILES` names and contents, the harmful ones first."""
    makers = {**sample_files.VALID, "a.zip": sample_files.archive}
    yield from ((name, make()) for name, make in HARMFUL.items())
    valid = [(name, make()) for name, make in makers.items()]
    choose = random.Random(5)
    for number in itertools.count(len(HARMFUL)):
        if number == FILES:
            return
        name, data = valid[number % len(valid)]
        yield f"{number}-{name}", _spoilt(data, choose) if number % 10 else data


def _spoilt(data: bytes, choose: random.Random) -> bytes:
    """The bytes with one kind of damage."""
    kind = choose.randrange(6)
    at = choose.randrange(1, len(data))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[at:]
    if kind == 2:
        return data[:at] + data[min(len(data), at + choose.randrange(1, 400)) :]
    if kind == 3:
        return data + data[at:]
    spoilt = bytearray(data)
    for _ in range(choose.choice((1, 4, 32, 256)) if kind == 4 else 8):
        spot = choose.randrange(len(spoilt))
        spoilt[spot] = spoilt[spot] ^ (1 << choose.randrange(8)) if kind == 4 else choose.choice((0x00, 0xFF, 0x7F, 0x80))
    return bytes(spoilt)


def main() -> None:
    """Reads them all and writes what became of them."""
    peak = PeakMemory()
    outcomes: Counter[str] = Counter()
    unclear: list[str] = []
    took_ms: list[float] = []
    choose = random.Random(7)
    base_mb = _rss_mb()
    began = time.perf_counter()
    with peak:
        for number, (name, data) in enumerate(files()):
            called = name.rsplit(".", 1)[0] + choose.choice(_WRONG) if number >= 500 and number % 4 == 0 else name
            started = time.perf_counter()
            results = read_all(data, name=called, limits=LIMITS)
            took_ms.append((time.perf_counter() - started) * 1000)
            for result in results:
                outcomes[result.error.reason.value if result.error else "document"] += 1
                if result.error and not (
                    result.name in result.error.message and result.error.message.endswith(ADVICE[result.error.reason])
                ):
                    unclear.append(called)
            if not results:
                unclear.append(called)
    seconds = time.perf_counter() - began
    close_readers()
    result = {
        "files": FILES,
        "outcomes": dict(outcomes.most_common()),
        "without_a_clear_answer": len(unclear),
        "seconds": round(seconds, 1),
        "median_ms": round(statistics.median(took_ms), 1),
        "slowest_ms": round(max(took_ms)),
        "parent_grew_by_mb": round(_rss_mb() - base_mb, 1),
        "reading_process_peak_mb": round(peak.mb, 1),
        "fork_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "limits": {"memory_mb": LIMITS.memory_mb, "cpu_s": LIMITS.cpu_s, "wall_s": LIMITS.wall_s},
    }
    Path("bench/results/hostile_files.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2), *unclear[:10], sep="\n")


def _rss_mb(pid: int | str = "self") -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)
    except (OSError, IndexError):
        return 0.0


class PeakMemory:
    """The largest resident memory of this process's own children, looked at every 20 ms."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            self.mb = max([self.mb, *(_rss_mb(pid) for pid in children)])


if __name__ == "__main__":
    main()
