"""How fast is text written? 1, 4 and 16 texts at a time against the bare model and transformers; first token; stop.

`python -m bench.generation [--redis redis://host:port]` prints a table and writes `bench/results/generation.json`. With
`--redis` it also starts a worker on database 14 there, which it empties, and measures how soon a stop frees the place.
Everything is measured in turns within one run: ratios mean something on a machine with other work, times hardly do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import redis
import torch

from bench.remote import percentile, worker
from core.config import Settings, get_settings
from core.protocols import GenerationRequest
from core.worker_registry import HEARTBEAT_S, ServedModel, read_workers
from workers.broker import GENERATOR, worker_arguments
from workers.dispatch import Dispatcher
from workers.generation_loop import GenerationLoop
from workers.generator import TorchGenerator
from workers.llama import Piece
from workers.remote import RemoteGenerator
from workers.weights import resolve

RESULT = Path(__file__).parent / "results" / "generation.json"
STREAMS = (1, 4, 16)
PROMPT = "{number}. Tell me a long story about {thing}, and say what one can learn from it."
THINGS = ["the sea", "a lighthouse", "two rivers", "an old library"]
PASSAGE = "Employees of department {number} hand in receipts within thirty days. Whoever travels by train books second class. "

Write = Callable[[Sequence[list[int]], int], None]


def prompts(generator: TorchGenerator, count: int, start: int) -> list[list[int]]:
    """Different short questions."""
    texts = [PROMPT.format(number=start + index, thing=THINGS[index % len(THINGS)]) for index in range(count)]
    return [generator.prompt((("user", text),)) for text in texts]


def write_bare(generator: TorchGenerator, asked: Sequence[list[int]], tokens: int) -> None:
    """The model alone: every prompt, then step by step the likeliest token of all."""
    cache = generator.new_cache()
    cache.reserve(max(map(len, asked)) + tokens)
    texts = []
    for prompt in asked:
        row, _ = cache.activate(prompt)
        cache.held[row] = []  # nothing is shared
        texts.append([*prompt, int(generator.forward([Piece(row, 0, prompt)], cache)[0].argmax())])
    for _ in range(tokens - 1):
        scores = generator.forward([Piece(row, len(ids) - 1, ids[-1:]) for row, ids in enumerate(texts)], cache)
        for ids, token in zip(texts, scores.argmax(dim=-1).tolist(), strict=True):
            ids.append(token)


def write_through_loop(loop: GenerationLoop, texts: Sequence[str], tokens: int) -> None:
    """As callers do: each in a thread of its own, reading to the end."""

    def read(text: str) -> None:
        for _ in loop.submit(request(text, tokens), threading.Event()):
            continue

    threads = [threading.Thread(target=read, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def transformers_batching(folder: Path, dtype: torch.dtype, tokens: int) -> Iterator[Write]:
    """transformers' own continuous batching, one manager for all, with the sizes it needs on a CPU."""
    from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
    manager = model.init_continuous_batching(
        generation_config=GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0),
        continuous_batching_config=ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=512),
    )
    manager.start()

    def write(asked: Sequence[list[int]], tokens: int) -> None:
        for ids in asked:
            manager.add_request(ids, max_new_tokens=tokens)
        left = len(asked)
        while left:
            found = manager.get_result(timeout=60)
            left -= found is not None and found.is_finished()

    yield write
    manager.stop(block=True)


def request(text: str, tokens: int) -> GenerationRequest:
    return GenerationRequest(messages=(("user", text),), max_tokens=tokens, deadline_s=600)


def tokens_per_s(write: Callable[[], None], tokens: int) -> float:
    started = time.perf_counter()
    write()
    return tokens / (time.perf_counter() - started)


def measure_speed(
    generator: TorchGenerator, loop: GenerationLoop, theirs: Write, *, rounds: int, tokens: int
) -> dict[str, dict[str, float]]:
    """Tokens per second of each way, prompts included: medians of the rounds."""
    rates: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds + 1):
        for count in STREAMS:
            asked = prompts(generator, count, 100 * number)
            texts = [PROMPT.format(number=100 * number + 50 + index, thing=THINGS[index % len(THINGS)]) for index in range(count)]
            ways: dict[str, Callable[[], None]] = {
                "bare model": lambda asked=asked: write_bare(generator, asked, tokens),  # type: ignore[misc]
                "loop": lambda texts=texts: write_through_loop(loop, texts, tokens),  # type: ignore[misc]
                "transformers": lambda asked=asked: theirs(asked, tokens),  # type: ignore[misc]
            }
            for name, write in ways.items():
                rate = tokens_per_s(write, count * tokens)
                if number:  # the first round warms up
                    rates.setdefault(name, {}).setdefault(f"streams_{count}", []).append(rate)
    return {name: {count: statistics.median(values) for count, values in by_count.items()} for name, by_count in rates.items()}


def measure_first_token(generator: TorchGenerator, loop: GenerationLoop, runs: int) -> dict[str, float]:
    """The bare pass over a prompt of a few hundred tokens against the time to the first chunk, in turns."""
    bare, first = [], []
    for number in range(runs):
        text = "".join(PASSAGE.format(number=f"{number}-{line}") for line in range(8)) + "What do I book?"
        ids = generator.prompt((("user", f"a{number} {text}"),))
        cache = generator.new_cache()
        cache.reserve(len(ids))
        cache.activate(ids)
        started = time.perf_counter()
        generator.forward([Piece(0, 0, ids)], cache)
        bare.append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        stream = iter(loop.submit(request(f"b{number} {text}", 2), threading.Event()))
        next(stream)
        first.append((time.perf_counter() - started) * 1000)
        list(stream)
    gaps = [mine - its for mine, its in zip(first, bare, strict=True)]
    return {
        "prefill_p50_ms": statistics.median(bare),
        "first_token_p50_ms": statistics.median(first),
        "added_p50_ms": statistics.median(gaps),
    }


def measure_stop(settings: Settings, runs: int) -> dict[str, float]:
    """From a reader's stop to the last chunk, and to the free place by the worker's own metric; two texts go on beside."""
    client = redis.Redis.from_url(settings.redis_url)
    client.flushdb()
    environ = {"QA_REDIS_URL": settings.redis_url, "QA_LOG_LEVEL": "WARNING", "QA_WORKER_ROLES": GENERATOR, "QA_MODEL_THREADS": "1"}
    waits = []
    with worker(["-A", "qa_project.celery", *worker_arguments(settings.model_copy(update={"worker_roles": GENERATOR}))], environ):
        _wait_for_heartbeat(client)
        with closing(RemoteGenerator(Dispatcher(settings))) as generator:
            ended, beside = threading.Event(), []
            for number in range(2):
                beside.append(threading.Thread(target=_keep_writing, args=(generator, ended, number)))
                beside[-1].start()
            for number in range(runs):
                waits.append(_stop_once(generator, number))
            time.sleep(2 * HEARTBEAT_S)
            worst = _wait_for_heartbeat(client).stop_p95_ms
            ended.set()
            for thread in beside:
                thread.join()
    client.close()
    return {
        "runs": runs,
        "reader_p50_ms": statistics.median(waits),
        "reader_p95_ms": percentile(waits, 0.95),
        "worker_p95_at_most_ms": worst,
    }


def _stop_once(generator: RemoteGenerator, number: int) -> float:
    """Milliseconds from the stop, after the first chunk, to the last one."""
    cancel = threading.Event()
    stream = generator.stream(request(PROMPT.format(number=number, thing=THINGS[0]), 400), cancel)
    next(stream)
    cancel.set()
    started = time.perf_counter()
    last = list(stream)[-1]
    if last.usage is None:
        raise AssertionError("the worker did not say that it stopped")
    return (time.perf_counter() - started) * 1000


def _keep_writing(generator: RemoteGenerator, ended: threading.Event, number: int) -> None:
    while not ended.is_set():
        for _ in generator.stream(request(PROMPT.format(number=number, thing=THINGS[1]), 200), ended):
            continue


def _wait_for_heartbeat(client: redis.Redis) -> ServedModel:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if workers := read_workers(client):
            return workers[0].model(GENERATOR)
        time.sleep(0.2)
    raise TimeoutError("the worker did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", help="redis://host:port; its database 14 is emptied and used")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each text")
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    settings = get_settings()
    folder = resolve(settings.generator, settings.models_folder)
    generator = TorchGenerator(folder, device=settings.device, precision=settings.generator_precision, threads=settings.model_threads)
    generator.end_ids = frozenset()  # every text has the same length
    result: dict[str, object] = {
        "settings": {
            "generator": settings.generator,
            "dtype": str(generator.dtype),
            "tokens": options.tokens,
            "threads": torch.get_num_threads(),
        }
    }
    with closing(GenerationLoop(generator)) as loop:
        with transformers_batching(folder, generator.dtype, options.tokens) as theirs:
            speed = measure_speed(generator, loop, theirs, rounds=options.rounds, tokens=options.tokens)
        result["tokens_per_s"] = speed
        result["sixteen_over_one"] = {name: rates["streams_16"] / rates["streams_1"] for name, rates in speed.items()}
        result["loop_over_bare"] = {count: speed["loop"][count] / rate for count, rate in speed["bare model"].items()}
        result["first_token"] = measure_first_token(generator, loop, 7 * options.rounds)
    if options.redis:
        result["stop"] = measure_stop(settings.model_copy(update={"redis_url": f"{options.redis}/14"}), options.stops)
    text = json.dumps(result, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
