"""Scanned PDFs are read by the real engine: their words are found on the right page, and what reading them may cost is bounded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from apps.accounts.commands import command_caller
from apps.accounts.permissions import ANYBODY
from apps.dialogue.models import Bot
from apps.dialogue.turns import TurnRequest, answer_turn
from apps.retrieval.documents.ingest_jobs import queue_files
from apps.retrieval.models import Ingestion, KnowledgeBase
from apps.retrieval.parsing import recognition
from apps.retrieval.parsing.readers import close_readers
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.sandbox import parse_file
from apps.serving.jobs.panel import step_in_words
from apps.serving.jobs.run import JobRun
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from core.events import TurnFinished
from tests.jobs import run_to_the_end
from tests.scans import Scan, scanned

CITIES, BRANCHES, HOUSES = "甲乙丙丁戊己庚辛壬癸", range(1, 17), "一二三四五六七八九十"
TRAVEL = Scan(
    title="第一章 差旅报销",
    lines=[
        "差旅费用应当在返回后三十天内报销，逾期不予受理。",
        *(f"{n}类城市的住宿标准由财务部门按季度核定，公布之后次月起执行并存档备查。" for n in CITIES),
    ],
)
LEAVE = Scan(
    title="Chapter Two: Leave",
    lines=[
        "Unused days of leave expire at the end of March.",
        *(f"Branch {n} plans its holidays with the head of the branch in writing." for n in BRANCHES),
    ],
    turned=90,
)
KEYS = Scan(
    title="第三章 门禁",
    lines=[
        "遗失门禁卡须在当日向保安室报告。",
        *(f"{n}号楼的访客由前台登记之后，由接待的同事陪同进入办公区域并佩戴访客证件。" for n in HOUSES),
    ],
    grey=190,
)
SHORT = Scan(title="Visitors", lines=["Visitors park behind the walrus house."])


@pytest.fixture(autouse=True)
def readers_end() -> Iterator[None]:
    yield
    close_readers()


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sandbox", "recognition"):
        monkeypatch.setattr(f"apps.retrieval.parsing.{module}.can_recognise", lambda: False)


@pytest.mark.django_db
def test_words_of_a_scan_are_found_on_their_page_and_an_answer_cites_it(
    kb: KnowledgeBase, bot: Bot, api: APIClient, tmp_path: Path
) -> None:
    """Black on white, turned by ninety degrees, and grey as a worn copy is: in Chinese and in English."""
    (tmp_path / "handbook.pdf").write_bytes(scanned(TRAVEL, LEAVE, KEYS))
    call_command("ingest", str(tmp_path / "handbook.pdf"), kb=kb.slug)
    for words, page, said in (
        ("差旅费用 逾期", 1, "三十天内报销"),
        ("unused days expire", 2, "end of March"),
        ("遗失 门禁卡", 3, "当日向保安室报告"),
    ):
        best = api.get(f"/api/v1/kbs/{kb.slug}/search", {"q": words, "mode": "lexical"}).json()["hits"][0]
        assert (best["document"], best["page"]) == ("handbook.pdf", page)
        assert said in best["text"]
    *_, end = answer_turn(TurnRequest(bot=bot, caller=ANYBODY, text="When do unused days of leave expire?"), Event())
    assert isinstance(end, TurnFinished)
    assert (end.skill, end.sources[0].document, end.sources[0].page) == ("passage", "handbook.pdf", 2)
    assert "Unused days of leave expire at the end of March." in end.answer


@pytest.mark.django_db
def test_an_upload_shows_how_many_pages_are_recognised_and_reports_those_that_are_not(
    kb: KnowledgeBase, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(ocr_pages=1)
    shown: list[str] = []

    def show(run: JobRun, step: str, *, done: int) -> None:
        write(run, step, done=done)
        shown.append(Job.objects.get(pk=run.job.pk).step)

    write = JobRun.show
    monkeypatch.setattr(JobRun, "show", show)
    job = queue_files(kb, [("scan.pdf", io.BytesIO(scanned(SHORT, SHORT)))], command_caller("test"))
    run_to_the_end(JobRunner(0, slice_s=0.0))
    job.refresh_from_db()
    assert (shown, job.state) == (["recognising 0/1", "recognising 1/1"], "done")
    (noted,) = Ingestion.objects.get(pk=job.result["ingestion"]).items
    assert (
        noted["reason"] == "Only the first 1 of 2 scanned pages were recognised: split the file, or raise QA_OCR_PAGES and send it again."
    )
    assert step_in_words("recognising 1/5") == "recognising scanned pages: 1 of 5"


def test_recognition_ends_when_its_time_is_over_and_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "PAGES_AT_ONCE", 1)
    document = parse_file(scanned(SHORT, SHORT), name="long.pdf", limits=ParseLimits(ocr_s=0.001))
    assert {block.page for block in document.blocks} == {1}
    assert document.warnings == (
        "Only 1 of 2 scanned pages were recognised, within 0.001 s: split the file, or raise QA_OCR_SECONDS and send it again.",
    )


def test_without_the_extra_a_scan_is_refused_with_its_name(without_the_extra: None) -> None:
    with pytest.raises(UnreadableFile) as refused:
        parse_file(scanned(SHORT), name="scan.pdf")
    assert refused.value.reason is Reason.SCANNED
    assert refused.value.message == (
        "scan.pdf: its pages are pictures without text, as scans are. "
        "Have the `ocr` extra installed on the server (`make install-ocr`), or upload a version with text."
    )
