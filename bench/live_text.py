"""How late is each piece of a written text at its reader? The way from the worker's loop through Redis and a web process to a client.

    make stack &
    set -a; . var/stack.env; set +a
    python -m bench.live_text --url http://127.0.0.1:8000 --key KEY [--streams 4]

Texts are asked for over `/v1/chat/completions`, one at a time and several at a time. A piece's way begins when the loop in the
worker wrote it (each entry of the text's stream in Redis says when) and ends when the client has read its last character. One clock
is needed: run it on the machine of the stack.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import orjson
import redis

from bench.remote import percentile
from workers.token_stream import PAUSE_S, text_key

RESULT = Path(__file__).parent / "results" / "live_text.json"
PROMPTS = ("Tell me a story about the sea.", "Describe an old library.", "How do bees make honey?", "Explain what a river delta is.")

Times = list[tuple[int, float]]
"""How many characters of a text there were, and since when (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class Way:
    """One text at both ends, and when it stood in Redis."""

    written: Times
    in_redis: Times
    read: Times

    def delays_s(self, since: Times) -> list[float]:
        """For each piece: how much later its last character had been read than it was there."""
        return [next(at for done, at in self.read if done >= characters) - began for characters, began in since if characters]


def texts_in_redis(client: redis.Redis) -> set[bytes]:
    """The keys of all texts that are kept at the moment."""
    return {key for key in client.scan_iter(match=text_key("*"), count=1000) if not key.endswith(b":writer")}


def entries_of(client: redis.Redis, key: bytes) -> tuple[str, Times, Times]:
    """A text, when its pieces were written, and when they stood in Redis (the id of an entry is its time)."""
    text, written, in_redis = "", [], []
    for entry_id, fields in client.xrange(key):
        row = orjson.loads(fields[b"c"])
        text += row.get("text", "")
        written.append((len(text), row["at"]))
        in_redis.append((len(text), int(entry_id.split(b"-")[0]) / 1000))
    return text, written, in_redis


async def read_text(http: httpx.AsyncClient, prompt: str, tokens: int) -> tuple[str, Times]:
    """A text, and when the client had read how much of it."""
    asked = {"model": "generator", "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": prompt}]}
    text, found = "", []
    async with http.stream("POST", "/v1/chat/completions", json=asked) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                text += choices[0]["delta"].get("content") or ""
                found.append((len(text), time.time()))
    return text, found


async def measure(url: str, key: str, *, at_a_time: int, rounds: int, tokens: int, numbers: count[int]) -> dict[str, float]:
    """So many rounds of so many texts at a time."""
    client, ways = redis.Redis.from_url(os.environ["QA_REDIS_URL"]), []
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=300) as http:
        for _ in range(rounds):
            before = texts_in_redis(client)
            prompts = [f"{number}. {PROMPTS[number % len(PROMPTS)]}" for _, number in zip(range(at_a_time), numbers, strict=False)]
            read = dict(await asyncio.gather(*(read_text(http, prompt, tokens) for prompt in prompts)))
            for text, written, in_redis in (entries_of(client, key) for key in texts_in_redis(client) - before):
                ways.append(Way(written, in_redis, read[text]))
    client.close()
    whole = [delay for way in ways for delay in way.delays_s(way.written)]
    last_part = [delay for way in ways for delay in way.delays_s(way.in_redis)]
    return {
        "pieces": len(whole),
        "p50_ms": percentile(whole, 0.5) * 1000,
        "p95_ms": percentile(whole, 0.95) * 1000,
        "from_redis_p95_ms": percentile(last_part, 0.95) * 1000,
        "tokens_per_s": median_rate(ways),
    }


def median_rate(ways: list[Way]) -> float:
    """Pieces a second of one text, which is near its tokens."""
    return percentile([(len(way.written) - 1) / (way.written[-1][1] - way.written[0][1]) for way in ways], 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True, help="an API key with the role admin")
    parser.add_argument("--streams", type=int, default=4, help="so many texts at a time beside one alone")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    numbers = count()
    result: dict[str, object] = {"cores": os.cpu_count(), "worker_pauses_ms": PAUSE_S * 1000}
    for at_a_time in (1, options.streams):
        result[f"streams_{at_a_time}"] = asyncio.run(
            measure(options.url, options.key, at_a_time=at_a_time, rounds=options.rounds, tokens=options.tokens, numbers=numbers)
        )
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
