"""How fast does a server answer? One caller against the encoder's own time, a repeated question, and 32 callers at once.

    python -m bench.answers [--rounds 10] [--vary QA_SHARE_CORE=auto,off]

It loads the demo's FAQs into a data folder of its own (with the models of the one in force), starts a server of this checkout
for each value of the setting that varies, and asks them in turns in random order: the machine's other work slows all alike.
Prints medians and writes `bench/results/answers.json`; the callers share the cores with the servers.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.encoder import questions
from core.config import get_settings

RESULT = Path(__file__).parent / "results" / "answers.json"
ROOT = Path(__file__).resolve().parents[1]
BOT = "answers"
CALLERS = 32
TOGETHER, ALONE = 200, 25  # questions of each round
START_S = 120


@dataclass(kw_only=True, slots=True)
class Server:
    """A server under one value of the setting, and what was measured of it: one figure a round under each name."""

    value: str
    url: str
    pid: int
    key: str
    rounds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where to ask."""
        return f"/api/v1/bots/{BOT}/ask"

    @property
    def headers(self) -> dict[str, str]:
        """Who asks."""
        return {"Authorization": f"Bearer {self.key}"}

    def note(self, **figures: float) -> None:
        """Keeps the figures of a round."""
        for name, figure in figures.items():
            self.rounds.setdefault(name, []).append(figure)

    def cpu_ms(self) -> float:
        """CPU time that the server has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def batched(self) -> tuple[float, float]:
        """Batches and texts that went through the encoder so far."""
        text = httpx.get(f"{self.url}/metrics", headers=self.headers).text
        found = (re.search(rf'^wenlu_{name}_total{{model="encoder"}} (\S+)$', text, re.M) for name in ("batches", "batched_texts"))
        batches, texts = (float(match[1]) if match else 0.0 for match in found)
        return batches, texts


@contextmanager
def folder() -> Iterator[dict[str, str]]:
    """The environment of a data folder with the demo's FAQs and a bot that answers out of them."""
    with tempfile.TemporaryDirectory(prefix="wenlu-answers-") as path:
        (Path(path) / "models").symlink_to(get_settings().models_folder.resolve())
        environment = {**os.environ, "QA_DATA_DIR": path, "QA_LOG_LEVEL": "WARNING"}
        for command in (["migrate"], ["collectstatic", "--noinput"], ["models", "fetch"], ["create_kb", BOT, "--locale", "zh"]):
            manage(environment, *command)
        for file in sorted((ROOT / "apps/dialogue/demo").glob("faqs_*.jsonl")):
            manage(environment, "import_faq", "--kb", BOT, str(file))
        manage(environment, "create_bot", BOT, "--kb", BOT)
        yield environment


def manage(environment: dict[str, str], *words: str) -> str:
    """What a command prints."""
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"manage.py {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def serving(environment: dict[str, str], name: str, value: str, key: str) -> Iterator[Server]:
    """A server with the setting; it is ended afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**environment, "QA_PORT": str(port), **({name: value} if name else {})}
    process = subprocess.Popen([sys.executable, "manage.py", "serve", "--no-prepare"], cwd=ROOT, env=environment)
    server = Server(value=value, url=f"http://127.0.0.1:{port}", pid=process.pid, key=key)
    try:
        _await_ready(server.url)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _await_ready(url: str) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=3).status_code == 200:
                return
        time.sleep(0.5)
    raise SystemExit(f"The server did not come up within {START_S} s.")


def ask_alone(server: Server, texts: list[str]) -> None:
    """One caller: each question once for its time and the encoder's, then all of them again."""
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as http:

        def timed(text: str) -> tuple[float, float]:
            began = time.perf_counter()
            answer = http.post(server.path, json={"question": text}).raise_for_status().json()
            return (time.perf_counter() - began) * 1000, float(answer["timings_ms"]["encode"])

        fresh = [timed(text) for text in texts]
        again = [timed(text)[0] for text in texts]
    server.note(
        alone_ms=statistics.median(whole for whole, _ in fresh),
        encode_ms=statistics.median(encode for _, encode in fresh),
        repeated_ms=statistics.median(again),
    )


async def ask_together(server: Server, texts: list[str]) -> None:
    """`CALLERS` callers that each wait for their answer."""
    gate = asyncio.Semaphore(CALLERS)
    before, cpu, began = server.batched(), server.cpu_ms(), time.perf_counter()
    async with httpx.AsyncClient(base_url=server.url, headers=server.headers, timeout=120) as http:

        async def one(text: str) -> None:
            async with gate:
                (await http.post(server.path, json={"question": text})).raise_for_status()

        await asyncio.gather(*map(one, texts))
    took, after = time.perf_counter() - began, server.batched()
    server.note(
        answers_per_s=len(texts) / took,
        cpu_ms_an_answer=(server.cpu_ms() - cpu) / len(texts),
        mean_batch=(after[1] - before[1]) / max(1.0, after[0] - before[0]),
    )


def report(server: Server) -> dict[str, float]:
    """Medians over the rounds; ratios are those of each round."""
    one = server.rounds
    ratios = {
        "alone / encode": [whole / encode for whole, encode in zip(one["alone_ms"], one["encode_ms"], strict=True)],
        f"{CALLERS} callers / one": [rate * whole / 1000 for rate, whole in zip(one["answers_per_s"], one["alone_ms"], strict=True)],
    }
    return {name: round(statistics.median(figures), 3) for name, figures in {**one, **ratios}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--vary", default="", metavar="SETTING=VALUE,VALUE", help="compare servers that differ in this setting")
    options = parser.parse_args()
    name, _, values = options.vary.partition("=")
    unasked = (f"{text} {number}" for number in itertools.count(time.time_ns() // 10**9) for text in questions(64))
    with ExitStack() as running:
        environment = running.enter_context(folder())
        key = manage(environment, "create_key", "bench", "--role", "admin").strip().splitlines()[-1]
        servers = [running.enter_context(serving(environment, name, value, key)) for value in values.split(",")]
        for number in range(options.rounds + 1):
            for server in random.sample(servers, len(servers)):
                ask_alone(server, [next(unasked) for _ in range(ALONE)])
                asyncio.run(ask_together(server, [next(unasked) for _ in range(TOGETHER)]))
                if number == 0:
                    server.rounds.clear()  # to warm up
    found = {server.value or "as it is": report(server) for server in servers}
    RESULT.write_text(json.dumps({"varied": name, "callers": CALLERS, "rounds": options.rounds, "medians": found}, indent=2) + "\n")
    for figure in next(iter(found.values())):
        print(f"{figure:24}" + "".join(f"{value:>12} {figures[figure]:9.3f}" for value, figures in found.items()))


if __name__ == "__main__":
    main()
