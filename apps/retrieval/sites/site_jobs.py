"""How are pages of the web fetched in the background? As a job that takes one address after the other, page by page, and goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import orjson
from django.db import transaction
from django.utils.translation import gettext_lazy, ngettext

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.gone import Gone
from apps.retrieval.documents.incoming import AnySource
from apps.retrieval.documents.ingest_jobs import english, report_of, result_of, settle_report, shortened
from apps.retrieval.documents.ingesting import LOOK_UP_BYTES, ingest_pieces
from apps.retrieval.documents.ingestions import StoredRun
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.sites.naming import judge_names
from apps.retrieval.sites.page_sources import Listed, pages_at, source_of
from apps.retrieval.sites.refusal import PageRefused, Problem
from apps.retrieval.sites.visiting import Visitor
from apps.serving.jobs.files import remove_files, store_files
from apps.serving.jobs.kinds import JobKind, register_kind, stored_title
from apps.serving.jobs.run import CANCELLED, JobRun
from apps.serving.jobs.services import enqueue_job
from apps.serving.models import Job
from core.errors import Cancelled, InvalidRequest, QAError
from core.types import JSONDict, JSONValue

KIND = "ingest_sites"
MAX_URLS = 100
MAX_SHOWN = 5  # addresses that one message names; `details.refused` names all
PIECE_S = 1.0  # pages are fetched for so long before they are saved and others have their turn
LIST_S = 1.0  # the same for reading sitemaps, which begins anew where another process takes over
TICK_S = 0.1
_LIST = "pages.jsonl"


def register_site_job() -> None:
    """Makes the kind known."""
    register_kind(
        JobKind(
            name=KIND,
            label=gettext_lazy("Fetching pages"),
            work=work,
            report=report_of,
            title=title_of,
            ended=settle_report,
            waits_for_others=True,
        )
    )


def queue_addresses(kb: KnowledgeBase, urls: Sequence[str], gone: Gone, caller: Caller) -> Job:
    """Queues a job that fetches pages and sitemaps. What an address leads to is seen when it is fetched, and reported.

    Raises InvalidRequest where one cannot be asked for (`details.refused` names each) or there are too many, Forbidden, Overloaded.
    """
    caller.require(Permission.EDIT if gone is Gone.KEEP else Permission.PUBLISH, kb.pk)
    addresses = _checked(urls)
    payload: JSONDict = {"urls": list(addresses), "gone": gone.value}
    title = english(_title, payload)
    folder, _none = store_files([], kb=kb)
    try:
        return enqueue_job(KIND, kb=kb, caller=caller, title=title, payload=payload, total=len(addresses), folder=folder)
    except BaseException:
        remove_files(folder)
        raise


def title_of(job: Job) -> str:
    """What is fetched, in the language that is active: its first address, and how many more there are."""
    return _title(job.payload) or stored_title(job)


def _title(payload: Mapping[str, Any]) -> str:
    """The addresses that the payload names, in the language that is active; empty where it names none."""
    urls = payload.get("urls", [])
    if len(urls) < 2:
        return shortened("".join(urls))
    text = ngettext("%(name)s and %(more)s more address", "%(name)s and %(more)s more addresses", len(urls) - 1)
    return text % {"name": shortened(urls[0]), "more": len(urls) - 1}


def _checked(urls: Sequence[str]) -> list[str]:
    if not 1 <= len(urls) <= MAX_URLS:
        raise InvalidRequest(f"`urls` must be 1 to {MAX_URLS} addresses.", field="urls")
    named = judge_names(urls)
    if named.refused:
        refused = [str(one) for one in named.refused]
        more = f" … and {len(refused) - MAX_SHOWN} more" if len(refused) > MAX_SHOWN else ""
        raise InvalidRequest(
            f"{len(refused)} of {len(urls)} addresses cannot be used: {' '.join(refused[:MAX_SHOWN])}{more}", field="urls", refused=refused
        )
    return list(named.addresses)


def work(run: JobRun) -> Generator[None, None, None]:
    """Fetches what the job names. Its position: how many addresses are done, and of a sitemap how many of the pages it lists."""
    job = _SiteJob(run)
    try:
        yield from job.fetch_all()
    except QAError as error:
        if isinstance(error, Cancelled) and not run.cancelled.is_set():
            run.check()  # what made the visitor leave was not the person: the job is given back, or lost
        if not error.retryable or isinstance(error, Cancelled):
            job.finish(CANCELLED if run.cancelled.is_set() else error.message)
        raise
    job.finish()


class _SiteJob:
    """One holding of the job. `done` and `total` count pages; of an address that is not looked at yet, one is expected."""

    def __init__(self, run: JobRun) -> None:
        self._run, self._caller = run, run.caller
        payload, position = run.payload, run.position
        urls = payload.get("urls")
        self._urls = [str(url) for url in urls] if isinstance(urls, list) else []
        self._gone = Gone(str(payload.get("gone", Gone.KEEP)))
        self._next = _number(position.get("url"))
        self._listed, self._settled = _number(position.get("listed")), _number(position.get("settled"))
        self._done, self._total = _number(position.get("done")), max(run.job.total, 1)
        self._visitor = Visitor(cancel=_Ended(run))
        with transaction.atomic():
            self._stored = StoredRun(run.kb, self._caller, id=_number(run.result.get("ingestion")))
            self._checkpoint("reading")

    def fetch_all(self) -> Iterator[None]:
        """One address after the other; yields at each checkpoint."""
        while self._next < len(self._urls):
            if not (self._listed and self._list.is_file()):
                yield from self._look_at(self._urls[self._next])
            if self._listed:
                yield from self._fetch_listed()
                self._to_next()
                self._checkpoint("reading")
                yield

    def finish(self, error: str = "") -> None:
        """Stores how the run ended."""
        self._stored.finish(error)
        if not error:
            self._done = self._total
            self._checkpoint("finished")

    @property
    def _list(self) -> Path:
        return self._run.folder / _LIST

    def _look_at(self, url: str) -> Iterator[None]:
        """Ingests a page at once; writes down what a sitemap lists."""
        self._listed = self._settled = 0
        self._run.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = time.monotonic()
        with self._list.open("wb") as file:
            for listed in pages_at(self._run.kb, [url], self._visitor):
                if listed.fetched:
                    yield from self._ingest([source_of(self._run.kb, listed, self._visitor)])
                    return
                file.write(orjson.dumps(_as_dict(listed)) + b"\n")
                self._listed += 1
                if time.monotonic() - began > LIST_S:
                    began = time.monotonic()
                    yield
        self._total += self._listed - 1
        self._checkpoint("reading")
        yield

    def _fetch_listed(self) -> Iterator[None]:
        """Fetches the pages of the list from the first that is not settled on, for a second at a time."""
        with self._list.open("rb") as file:
            lines = islice(file, self._settled, None)
            while sources := self._fetched(lines):
                yield from self._ingest(sources)

    def _fetched(self, lines: Iterator[bytes]) -> list[AnySource]:
        """The next pages, as many as come within a second; at least one, unless there is none."""
        began = time.monotonic()
        sources: list[AnySource] = []
        for line in lines:
            self._run.check()
            sources.append(source_of(self._run.kb, _from_dict(orjson.loads(line)), self._visitor))
            if time.monotonic() - began > PIECE_S or sum(source.size for source in sources) > LOOK_UP_BYTES:
                break
        return sources

    def _ingest(self, sources: Sequence[AnySource]) -> Iterator[None]:
        for _size in ingest_pieces(
            self._run.kb, sources, self._caller, self._stored.report, gone=self._gone, settled=self._settle, check=self._run.check
        ):
            yield

    def _settle(self, sources: int, size: int) -> None:
        """In the transaction that saves them. An address that is a page itself is done with it."""
        self._settled, self._done = self._settled + sources, self._done + sources
        if not self._listed:
            self._to_next()
        self._checkpoint("reading")

    def _to_next(self) -> None:
        self._next, self._listed, self._settled = self._next + 1, 0, 0

    def _checkpoint(self, step: str) -> None:
        self._stored.write()
        position: JSONDict = {"url": self._next, "listed": self._listed, "settled": self._settled, "done": self._done}
        self._run.checkpoint(position, done=min(self._done, self._total), total=self._total, step=step, result=result_of(self._stored))


class _Ended(Event):
    """Is set where the job was cancelled, given back or lost: who waits for a page leaves then."""

    def __init__(self, run: JobRun) -> None:
        super().__init__()
        self._reasons = (run.cancelled, run.stopping, run.lost)

    def is_set(self) -> bool:
        return any(reason.is_set() for reason in self._reasons)

    def wait(self, timeout: float | None = None) -> bool:
        until = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while not self.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(TICK_S, left))
        return True


def _as_dict(listed: Listed) -> JSONDict:
    refusal: JSONValue = [listed.refusal.problem.value, listed.refusal.message] if listed.refusal else None
    sites: JSONValue = [*sorted(listed.sites)]
    return {"url": listed.url, "sitemap": listed.sitemap, "sites": sites, "refusal": refusal}


def _from_dict(row: dict[str, object]) -> Listed:
    refusal, sites = row["refusal"], row["sites"]
    assert isinstance(sites, list)
    return Listed(
        url=str(row["url"]),
        sitemap=str(row["sitemap"]),
        sites=frozenset(map(str, sites)),
        refusal=PageRefused(Problem(refusal[0]), str(refusal[1])) if isinstance(refusal, list) else None,
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
