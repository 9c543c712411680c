"""How does written text reach a reader? The delay of each piece between worker and client, and 1,000 sockets cut in mid-answer.

    make stack &
    set -a; . var/stack.env; set +a
    python -m bench.live_text --url http://127.0.0.1:8000 --other http://127.0.0.1:8001 --key KEY [--bot demo] [--cuts 1000]

The delay: texts are asked for over `/v1/chat/completions`; each piece's way begins when the worker's entry stands in Redis
(the entry's id is its time; pieces wait at most `FLUSH_S` before) and ends when the client has read it. The cuts: a question
to the bot over a socket to one web process, which is cut after a random number of events; the rest is asked for from the
other process; the text must be byte for byte the one that is stored. Both machines' clocks are one: run it on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import redis
import websockets

from bench.remote import percentile
from workers.token_stream import FLUSH_S, text_key

RESULT = Path(__file__).parent / "results" / "live_text.json"
PROMPTS = ("Tell me a story about the sea.", "Describe an old library.", "How do bees make honey?", "Explain what a river delta is.")
QUESTIONS = (
    "空气净化器的滤芯多久换一次",
    "How do I return a product that I bought online?",
    "出差住宿怎么报销",
    "Who approves remote work?",
)
ENDS = ("turn_finished", "turn_failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A running stack: two web processes, the key to ask with, the bot to ask, and the Redis that texts go through."""

    url: str
    other: str
    key: str
    bot: str
    redis_url: str

    def socket_url(self, web: str) -> str:
        """The bot's socket at one of the web processes."""
        return f"{web.replace('http', 'ws', 1)}/ws/bots/{self.bot}/"


# The delay of each piece


def texts_in_redis(client: redis.Redis) -> set[bytes]:
    """The keys of all texts that are kept at the moment."""
    return {key for key in client.scan_iter(match=text_key("*"), count=1000) if not key.endswith(b":writer")}


def written_at(client: redis.Redis, key: bytes) -> list[tuple[int, float]]:
    """How many characters were there, and since when (seconds since the epoch)."""
    done, found = 0, []
    for entry_id, fields in client.xrange(key):
        done += len(orjson.loads(fields[b"c"]).get("text", ""))
        found.append((done, int(entry_id.split(b"-")[0]) / 1000))
    return found


async def read_text(http: httpx.AsyncClient, prompt: str, tokens: int) -> list[tuple[int, float]]:
    """How many characters the client had read, and when."""
    asked = {"model": "generator", "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": prompt}]}
    done, found = 0, []
    async with http.stream("POST", "/v1/chat/completions", json=asked) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                done += len(choices[0]["delta"].get("content") or "")
                found.append((done, time.time()))
    return found


def delays_s(written: list[tuple[int, float]], read: list[tuple[int, float]]) -> list[float]:
    """For each piece that was written: how much later its last character had been read."""
    return [next(at for done, at in read if done >= characters) - since for characters, since in written if characters]


async def measure_delays(target: Target, rounds: int, tokens: int) -> dict[str, float]:
    """So many texts, one after the other."""
    client, found = redis.Redis.from_url(target.redis_url), []
    async with httpx.AsyncClient(base_url=target.url, headers={"Authorization": f"Bearer {target.key}"}, timeout=300) as http:
        for number in range(rounds):
            before = texts_in_redis(client)
            read = await read_text(http, f"{number}. {PROMPTS[number % len(PROMPTS)]}", tokens)
            (key,) = texts_in_redis(client) - before
            found += delays_s(written_at(client, key), read)
    return {"pieces": len(found), "p50_ms": percentile(found, 0.5) * 1000, "p95_ms": percentile(found, 0.95) * 1000}


# Sockets cut in mid-answer


async def read_events(socket: Any, most: int = 10**6) -> list[dict[str, Any]]:
    """Events until the end of the turn, or until so many have come."""
    events: list[dict[str, Any]] = []
    while len(events) < most and not (events and events[-1]["type"] in ENDS):
        events.append(json.loads(await asyncio.wait_for(socket.recv(), 120)))
    return events


async def cut_one(target: Target, http: httpx.AsyncClient, number: int) -> str:
    """What became of one turn: `same`, `over before the cut`, or what was wrong."""
    webs = (target.url, target.other) if number % 2 else (target.other, target.url)
    async with websockets.connect(target.socket_url(webs[0]), max_size=2**24, close_timeout=0.1) as socket:
        await socket.send(
            json.dumps({"type": "ask", "text": f"{QUESTIONS[number % len(QUESTIONS)]}{'?' * (number // len(QUESTIONS) % 50)}"})
        )
        first = await read_events(socket, most=random.randint(1, 12))
        socket.transport.abort()
    if first[-1]["type"] in ENDS:
        return "over before the cut"
    async with websockets.connect(target.socket_url(webs[1]), max_size=2**24, close_timeout=0.1) as socket:
        await socket.send(json.dumps({"type": "resume", "turn": first[0]["turn"], "after": first[-1]["seq"]}))
        events = first + await read_events(socket)
    if events[-1]["type"] != "turn_finished":
        return f"failed: {events[-1]['error']['code']}"
    text = "".join(event["text"] for event in events if event["type"] == "text_delta")
    seqs = [event["seq"] for event in events]
    stored = (await http.get(f"/api/v1/conversations/{events[-1]['conversation']}")).json()["turns"][-1]["answer"]
    return "same" if text == events[-1]["answer"] == stored and seqs == list(range(1, len(seqs) + 1)) else "different"


async def cut_sockets(target: Target, cuts: int, at_a_time: int) -> dict[str, int]:
    """So many turns that were cut while they ran, and what became of them."""
    gate, found = asyncio.Semaphore(at_a_time), Counter[str]()
    async with httpx.AsyncClient(base_url=target.url, headers={"Authorization": f"Bearer {target.key}"}, timeout=60) as http:

        async def one(number: int) -> None:
            async with gate:
                found[await cut_one(target, http, number)] += 1

        done = 0
        while (missing := cuts - sum(count for name, count in found.items() if name != "over before the cut")) > 0 and done < cuts * 3:
            await asyncio.gather(*(one(done + number) for number in range(missing)))
            done += missing
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--other", required=True, help="the second web process of the same stack")
    parser.add_argument("--key", required=True, help="an API key with the role admin")
    parser.add_argument("--bot", default="demo", help="a bot whose answers a generator writes")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--at-a-time", type=int, default=8)
    options = parser.parse_args()
    target = Target(url=options.url, other=options.other, key=options.key, bot=options.bot, redis_url=os.environ["QA_REDIS_URL"])
    result = {
        "cores": os.cpu_count(),
        "worker_waits_at_most_ms": FLUSH_S * 1000,
        "delay_redis_to_client": asyncio.run(measure_delays(target, options.rounds, options.tokens)),
        "cut_in_mid_answer": asyncio.run(cut_sockets(target, options.cuts, options.at_a_time)),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
