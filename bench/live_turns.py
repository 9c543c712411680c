"""Does a turn outlive its socket, and does a stop reach it, on a web process that it does not run on?

    QA_PRIVATE_HOSTS=127.0.0.1 make stack &
    set -a; . var/stack.env; set +a
    python -m bench.live_turns --url http://127.0.0.1:8000 --other http://127.0.0.1:8001 [--cuts 1000] [--stops 200]

Makes a bot over the demo's documents whose answers a generator writes, and takes it away in the end. Stops: the generator of
the inference workers writes; the question goes to one web process, its stop, at a random moment, to the other. How soon the place
is free is the workers' own metric. Cuts: a server that quotes the sources writes (`bench.quoting_server`), so that all of a long answer is
supported; the socket is cut within the text, the rest asked for from the other process, and the whole must be byte for byte what is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import redis
import websockets

from bench.quoting_server import quoting_server
from bench.remote import percentile
from core.config import get_settings
from core.worker_registry import HEARTBEAT_S, read_workers

RESULT = Path(__file__).parent / "results" / "live_turns.json"
QUESTIONS = {
    "en": ("Take the train or fly?", "How is the W2 flushed?", "Where do Confidential files go?", "How long is the warranty?"),
    "zh": ("出差坐火车还是飞机？", "W2 怎么冲洗？", "机密文件放在哪里？", "保修多久？"),
}
ENDS = ("turn_finished", "turn_failed")
LATEST_STOP_S = 2.0
WORD_S = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The two web processes of a running stack, a key to ask with, and the bot of each language."""

    webs: tuple[str, str]
    key: str
    bots: dict[str, str]

    def socket(self, web: int, locale: str) -> Any:
        """A new socket to the bot at one of the web processes."""
        url = f"{self.webs[web].replace('http', 'ws', 1)}/ws/bots/{self.bots[locale]}/"
        headers = {"Authorization": f"Bearer {self.key}"}
        return websockets.connect(url, additional_headers=headers, max_size=2**24, close_timeout=0.1)


@contextmanager
def target(webs: tuple[str, str]) -> Iterator[Target]:
    """A bot of each language and a key, which go in the end."""
    from django.db.models import Model

    from apps.accounts.commands import command_caller
    from apps.accounts.keys import create_key
    from apps.accounts.permissions import AccessRole
    from apps.dialogue.demo_documents import load_demo_documents
    from apps.dialogue.services import create_bot
    from apps.retrieval.services import create_kb
    from core.types import Locale

    caller, run, slugs = command_caller("bench"), f"bench-{secrets.token_hex(3)}", {}
    key, text = create_key(name=run, role=AccessRole.ADMIN)
    made: list[Model] = [key]
    for locale in Locale:
        slug = slugs[str(locale)] = f"{run}-{locale}"
        kb = create_kb(slug=slug, name=slug, locale=locale, caller=caller)
        load_demo_documents(kb, locale, caller)
        bot = create_bot(slug=slug, name="Clearbrook", kbs=[kb], caller=caller, document_answers="generate")
        bot.threshold = 0.02  # every question is to reach the generator
        bot.save()
        made += [kb, bot]
    try:
        yield Target(webs=webs, key=text, bots=slugs)
    finally:
        for row in reversed(made):
            row.delete()


@contextmanager
def deployment(base_url: str) -> Iterator[None]:
    """For the block this server writes, in every web process."""
    from apps.accounts.commands import command_caller
    from apps.serving.models import Deployment
    from apps.serving.services import delete_deployment, save_deployment

    row, caller = Deployment(name="bench-quoting", base_url=base_url, model="quoting"), command_caller("bench")
    save_deployment(row, key=None, caller=caller, fields=["base_url"])
    try:
        time.sleep(get_settings().remember_s + 0.5)
        yield
    finally:
        delete_deployment(row, caller)


def question(number: int) -> tuple[str, str]:
    """A language and a question, a little different each time."""
    locale = ("en", "zh")[number % 2]
    texts = QUESTIONS[locale]
    return locale, f"{texts[number // 2 % len(texts)]} ({number})"


async def read_events(socket: Any, until: Callable[[list[dict[str, Any]]], bool] = lambda events: False) -> list[dict[str, Any]]:
    """Events until the end of the turn, or until they are as wanted."""
    events: list[dict[str, Any]] = []
    while not events or (events[-1]["type"] not in ENDS and not until(events)):
        event = json.loads(await asyncio.wait_for(socket.recv(), 120))
        if event["type"] == "error":
            raise RuntimeError(f"the socket was answered {event}")
        events.append(event)
    return events


def deltas(events: list[dict[str, Any]]) -> list[str]:
    return [event["text"] for event in events if event["type"] == "text_delta"]


async def cut_one(at: Target, http: httpx.AsyncClient, number: int) -> str:
    """What became of one turn whose socket was cut: `same`, `not cut within the text`, or what was wrong."""
    locale, text = question(number)
    web, after = number // 2 % 2, random.randint(1, 6)
    async with at.socket(web, locale) as socket:
        await socket.send(json.dumps({"type": "ask", "text": text}))
        first = await read_events(socket, lambda events: len(deltas(events)) >= after)
        socket.transport.abort()
    if first[-1]["type"] in ENDS:
        return "not cut within the text"
    async with at.socket(1 - web, locale) as socket:
        await socket.send(json.dumps({"type": "resume", "turn": first[0]["turn"], "after": first[-1]["seq"]}))
        rest = await read_events(socket)
    end = rest[-1]
    if end["type"] != "turn_finished" or end["degraded"]:
        return f"ended otherwise: {end.get('error', end)}"
    if not deltas(rest):
        return "not cut within the text"
    stored = (await http.get(f"/api/v1/conversations/{end['conversation']}")).json()["turns"][-1]["answer"]
    whole, seqs = "".join(deltas(first) + deltas(rest)), [event["seq"] for event in first + rest]
    return "same" if whole == end["answer"] == stored and seqs == list(range(1, len(seqs) + 1)) else "different"


async def cut_sockets(at: Target, cuts: int, at_a_time: int) -> dict[str, object]:
    """So many turns whose socket was cut within the text, and what became of them."""
    found, began, done = Counter[str](), time.perf_counter(), 0
    async with httpx.AsyncClient(base_url=at.webs[0], headers={"Authorization": f"Bearer {at.key}"}, timeout=60) as http:
        while (missing := cuts - found.total() + found["not cut within the text"]) > 0 and done < 3 * cuts:
            found.update(await in_turns([cut_one(at, http, done + number) for number in range(missing)], at_a_time))
            done += missing
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


async def in_turns(jobs: list[Coroutine[Any, Any, Any]], at_a_time: int) -> list[Any]:
    """The results of all, so many at a time."""
    gate = asyncio.Semaphore(at_a_time)

    async def one(job: Coroutine[Any, Any, Any]) -> Any:
        async with gate:
            return await job

    return await asyncio.gather(*map(one, jobs))


async def stop_one(at: Target, number: int) -> tuple[float, bool]:
    """Milliseconds from a stop at the other web process to the end of the turn here, and whether that ended it."""
    locale, text = question(number)
    async with at.socket(number // 2 % 2, locale) as socket, at.socket(1 - number // 2 % 2, locale) as other:
        await socket.send(json.dumps({"type": "ask", "text": text}))
        (started,) = await read_events(socket, lambda events: True)
        await asyncio.sleep(random.uniform(0.2, LATEST_STOP_S))
        began = time.perf_counter()
        await other.send(json.dumps({"type": "stop", "turn": started["turn"]}))
        end = (await read_events(socket))[-1]
    return (time.perf_counter() - began) * 1000, end["type"] == "turn_finished" and end["stopped"]


async def stop_turns(at: Target, stops: int, at_a_time: int) -> dict[str, object]:
    """So many turns that were stopped while the workers wrote; the last figures are the workers' own, of all their stops so far."""
    found = await in_turns([stop_one(at, number) for number in range(stops)], at_a_time)
    times = [milliseconds for milliseconds, was_stopped in found if was_stopped]
    await asyncio.sleep(2 * HEARTBEAT_S)
    with redis.Redis.from_url(os.environ["QA_REDIS_URL"]) as client:
        served = [worker.model("generator") for worker in read_workers(client)]
    return {
        "turns": stops,
        "stopped": len(times),
        "reader_p50_ms": statistics.median(times),
        "reader_p95_ms": percentile(times, 0.95),
        "worker_stops": sum(model.stops for model in served),
        "worker_p95_at_most_ms": max(model.stop_p95_ms for model in served),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--other", required=True, help="the second web process of the same stack")
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--at-a-time", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")
    import django

    django.setup()
    result: dict[str, object] = json.loads(options.out.read_text("utf-8")) if options.out.is_file() else {}  # what is not asked for stays
    result["cores"] = os.cpu_count()
    with target((options.url, options.other)) as at:
        if options.stops:
            result["stops"] = asyncio.run(stop_turns(at, options.stops, options.at_a_time))
        if options.cuts:
            with quoting_server(word_s=WORD_S) as url, deployment(url):
                result["cuts"] = asyncio.run(cut_sockets(at, options.cuts, options.at_a_time))
    text = json.dumps(result, indent=2)
    options.out.write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
