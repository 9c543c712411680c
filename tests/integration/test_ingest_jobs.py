"""Documents that are read in the background: the same as the command reads, with a report that counts each source once."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.management import call_command
from django.utils.translation import override

from apps.accounts.commands import command_caller
from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.documents import ingest_jobs, ingesting
from apps.retrieval.documents.ingest_jobs import queue_files, queue_paths
from apps.retrieval.models import Document, Ingestion, KnowledgeBase, Passage
from apps.retrieval.outbox.verification import find_drift
from apps.serving.jobs import leases
from apps.serving.jobs.files import folder_of, jobs_folder
from apps.serving.jobs.kinds import title_of
from apps.serving.jobs.run import JobRun
from apps.serving.jobs.runner import JobRunner
from apps.serving.jobs.services import cancel_job, retry_job
from apps.serving.models import Job
from core.backends import use_backend
from core.config import get_settings
from core.errors import Forbidden, InferenceFailed, InvalidRequest
from core.types import FloatArray, JSONDict, Role
from tests.commands import run
from tests.encoders import HashingEncoder
from tests.jobs import age_leases, run_to_the_end

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints every four passages; no files left over."""
    shutil.rmtree(jobs_folder(), ignore_errors=True)
    for name in ("FEWEST_PASSAGES", "FIRST_PASSAGES", "MOST_PASSAGES"):
        monkeypatch.setattr(ingesting, name, 4)


@pytest.fixture
def admin() -> Caller:
    """Whoever runs commands, whose rights do not go."""
    return command_caller("test")


def rows(count: int, prefix: str = "d") -> bytes:
    return "\n".join(json.dumps({"id": f"{prefix}{number}", "text": f"Walrus {prefix} {number}."}) for number in range(count)).encode()


def queue(kb: KnowledgeBase, caller: Caller, **files: bytes) -> Job:
    return queue_files(kb, [(name.replace("_", "."), io.BytesIO(data)) for name, data in files.items()], caller)


def runner() -> JobRunner:
    return JobRunner(0, slice_s=0.0)


def counts(job: Job) -> tuple[int, int, int, int]:
    job.refresh_from_db()
    return tuple(int(str(job.result[name])) for name in ("created", "updated", "unchanged", "bad"))  # type: ignore[return-value]


def test_uploads_become_documents_and_a_report_and_their_files_go(kb: KnowledgeBase, admin: Caller) -> None:
    job = queue(kb, admin, rows_jsonl=rows(6) + b"\n{broken", a_txt=b"A heron lives here.", b_exe=b"MZ\x00")
    run_to_the_end(runner())
    assert counts(job) == (7, 0, 0, 2)
    assert (job.state, job.done, job.step, job.title) == ("done", job.total, "finished", "rows.jsonl and 2 more files")
    assert set(Document.objects.values_list("external_id", flat=True)) == {*(f"d{number}" for number in range(6)), "a.txt"}
    report = Ingestion.objects.get(pk=job.result["ingestion"])
    assert (report.created, report.bad, report.actor, report.error) == (7, 2, admin.name, "") and report.finished_at
    assert not folder_of(job).exists()
    assert not any(drift.count for drift in find_drift(kb))


def test_the_program_that_made_a_file_is_not_its_author_even_where_it_was_read_as_such(kb: KnowledgeBase, admin: Caller) -> None:
    for text in ("A walrus lives here.", "A heron lives here."):
        file, book = io.BytesIO(), openpyxl.Workbook()
        book.active.append(["animal", text])  # type: ignore[union-attr]
        book.save(file)
        queue(kb, admin, animals_xlsx=file.getvalue())
        run_to_the_end(runner())
        document = Document.objects.get()
        assert (text in document.text, document.author) == (True, "")
        Document.objects.update(author="openpyxl")  # as it was read before


def test_a_job_that_is_taken_over_counts_every_source_once(kb: KnowledgeBase, admin: Caller) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    job = queue(kb, admin, rows_jsonl=rows(20) + b"\n" + rows(3))
    for number in range(4):  # somebody always waits, so that each turn is one piece
        queue(other, admin, rows_jsonl=rows(4, f"o{number}-"))
    while Job.objects.filter(state__in=Job.UNFINISHED).exists():
        runner().run_one_slice()
        age_leases()
    assert counts(job) == (20, 0, 0, 3)
    assert [item["reason"][:9] for item in Ingestion.objects.get(pk=job.result["ingestion"]).items] == ["The id 'd"] * 3
    assert Document.objects.filter(kb=kb).count() == Passage.objects.filter(document__kb=kb).count() == 20
    assert Ingestion.objects.filter(kb=kb).count() == 1


class BrokenEncoder(HashingEncoder):
    """Fails after so many texts."""

    left = 10

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
        self.left -= len(texts)
        if self.left < 0:
            raise InferenceFailed("The model raised.")
        return super().encode_tokens(texts, role)


def test_a_failed_job_keeps_its_files_and_goes_on_when_tried_again(kb: KnowledgeBase, admin: Caller) -> None:
    use_backend(get_settings().encoder_backend, BrokenEncoder())
    job = queue(kb, admin, rows_jsonl=rows(20))
    run_to_the_end(runner())
    assert counts(job) == (8, 0, 0, 0) and (job.state, job.error) == ("failed", "The model raised.")
    assert Ingestion.objects.get().error == "The model raised."
    use_backend(get_settings().encoder_backend, HashingEncoder())
    retry_job(job, admin)
    run_to_the_end(runner())
    assert counts(job) == (20, 0, 0, 0) and job.state == "done" and Ingestion.objects.get().error == ""


def test_cancelling_keeps_what_is_in_and_leaves_the_rest(kb: KnowledgeBase, admin: Caller) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    job = queue(kb, admin, rows_jsonl=rows(20))
    queue(other, admin, rows_jsonl=rows(1, "o"))
    one = runner()
    one.run_one_slice()
    cancel_job(job, admin)
    one.beat()
    run_to_the_end(one)
    assert counts(job) == (4, 0, 0, 0) and job.state == "cancelled" and not folder_of(job).exists()
    assert Document.objects.filter(kb=kb).count() == 4
    assert Ingestion.objects.get(pk=job.result["ingestion"]).error == "The job was cancelled."


def test_a_job_that_nobody_holds_is_cancelled_in_its_report_too(kb: KnowledgeBase, admin: Caller) -> None:
    job = queue(kb, admin, rows_jsonl=rows(20))
    queue(KnowledgeBase.objects.create(slug="it", name="IT"), admin, rows_jsonl=rows(1, "o"))
    one = runner()
    one.run_one_slice()
    one.close()
    assert cancel_job(job, admin).state == "cancelled"
    report = Ingestion.objects.get(kb=kb)
    assert (report.created, report.error) == (4, "The job was cancelled.") and report.finished_at


def test_a_job_cancelled_after_its_worker_died_is_cancelled_in_its_report_too(kb: KnowledgeBase, admin: Caller) -> None:
    job = queue(kb, admin, rows_jsonl=rows(20))
    queue(KnowledgeBase.objects.create(slug="it", name="IT"), admin, rows_jsonl=rows(1, "o"))
    runner().run_one_slice()
    assert cancel_job(job, admin).state == "running"
    age_leases()
    run_to_the_end(runner())
    report = Ingestion.objects.get(kb=kb)
    assert (counts(job)[0], report.created, report.error) == (4, 4, "The job was cancelled.") and report.finished_at


def test_a_job_that_is_given_up_is_so_in_its_report_too(kb: KnowledgeBase, admin: Caller) -> None:
    job = queue(kb, admin, rows_jsonl=rows(20))
    queue(KnowledgeBase.objects.create(slug="it", name="IT"), admin, rows_jsonl=rows(1, "o"))
    runner().run_one_slice()
    age_leases()
    Job.objects.filter(pk=job.pk).update(attempts=9)
    run_to_the_end(runner())
    report = Ingestion.objects.get(kb=kb)
    assert report.error.startswith("Whoever worked on it was lost") and report.finished_at


def test_titles_say_how_many_more_there_are_in_the_readers_language(kb: KnowledgeBase, admin: Caller, tmp_path: Path) -> None:
    two, three = queue(kb, admin, a_txt=b"A.", b_txt=b"B."), queue(kb, admin, a_txt=b"A.", b_txt=b"B.", c_txt=b"C.")
    for name in ("x.txt", "y.txt"):
        (tmp_path / name).write_text("X.")
    paths = queue_paths(kb, [tmp_path / "x.txt", tmp_path / "y.txt"], admin)
    assert [job.title for job in (two, three, paths)] == ["a.txt and 1 more file", "a.txt and 2 more files", "x.txt and 1 more"]
    with override("zh-hans"):
        assert [title_of(job) for job in (two, three, paths)] == ["a.txt 和另外 1 个文件", "a.txt 和另外 2 个文件", "x.txt 和另外 1 项"]


def test_a_long_name_leaves_room_for_how_many_more_there_are(kb: KnowledgeBase, admin: Caller) -> None:
    job = queue_files(kb, [(f"{'x' * 195}.txt", io.BytesIO(b"A.")), ("b.txt", io.BytesIO(b"B."))], admin)
    assert job.title == f"{'x' * 149}… and 1 more file"


def test_progress_counts_what_archives_unpack_to(kb: KnowledgeBase, admin: Caller) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", rows(50))
        archive.writestr("b.txt", "A heron lives here.")
    job = queue(kb, admin, docs_zip=packed.getvalue())
    assert job.total == len(packed.getvalue())
    run_to_the_end(runner())
    assert counts(job) == (51, 0, 0, 0)
    assert job.done == job.total == len(rows(50)) + len("A heron lives here.")


class WatchedRun(JobRun):
    """Remembers the totals that were written."""

    def checkpoint(self, position: JSONDict, **said: Any) -> None:  # type: ignore[override]
        super().checkpoint(position, **said)
        self.totals = [*getattr(self, "totals", []), self.job.total]


def test_progress_does_not_jump_where_a_job_with_an_archive_goes_on(kb: KnowledgeBase, admin: Caller) -> None:
    """Whoever goes on has not unpacked the archive yet when it writes the first checkpoint."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", rows(50))
    job = queue(kb, admin, docs_zip=packed.getvalue())
    queue(KnowledgeBase.objects.create(slug="it", name="IT"), admin, rows_jsonl=rows(1, "o"))
    runner().run_one_slice()
    age_leases()
    job.refresh_from_db()
    assert leases.claim(job, "next:1:x:y")
    run = WatchedRun(job, "next:1:x:y")
    next(ingest_jobs.work(run))
    assert run.totals == [len(rows(50))] * 2


def test_the_command_queues_files_where_they_lie(kb: KnowledgeBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_bytes(rows(5))
    call_command("ingest", "--kb", "hr", "--background", str(tmp_path / "rows.jsonl"))
    job = Job.objects.get()
    assert capsys.readouterr().out == f"Job {job.pk} is queued: rows.jsonl.\n"
    run_to_the_end(runner())
    assert counts(job) == (5, 0, 0, 0) and (tmp_path / "rows.jsonl").is_file()


@pytest.mark.parametrize("inside", ["", "a.txt"])
def test_the_command_refuses_to_queue_a_path_that_is_not_utf_8(kb: KnowledgeBase, tmp_path: Path, inside: str) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a.txt").write_text("A heron lives here.")
    status, _, says = run("ingest", "--kb", "hr", "--background", "https://example.com/", folder / inside)
    assert (status, Job.objects.count()) == (2, 0)
    assert "is not UTF-8" in says and "caf\\udce9" in says and "without --background" in says
    assert run("ingest", "--kb", "hr", folder / inside)[:2] == (0, "1 created, 0 updated, 0 unchanged, 0 left out, 0 bad.\n")


def test_files_that_changed_since_the_last_checkpoint_are_read_from_the_start(kb: KnowledgeBase, admin: Caller, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows(8))
    job = queue_paths(kb, [file], admin)
    queue(KnowledgeBase.objects.create(slug="it", name="IT"), admin, rows_jsonl=rows(1, "o"))
    runner().run_one_slice()
    assert Document.objects.filter(kb=kb).count() == 4
    file.write_bytes(rows(2, "new") + b"\n" + rows(8))
    age_leases()
    run_to_the_end(runner())
    assert Document.objects.filter(kb=kb).count() == 10 and counts(job)[0] == 10


def test_who_may_not_edit_queues_nothing_and_leaves_no_file(kb: KnowledgeBase, admin: Caller) -> None:
    with pytest.raises(Forbidden):
        queue(kb, Caller(name="user:2", kb_roles={kb.pk: AccessRole.VIEWER}), a_txt=b"x")
    with pytest.raises(InvalidRequest, match="There is no file"):
        queue(kb, admin)
    assert not Job.objects.exists() and not any(jobs_folder().iterdir())


def test_an_editor_proposes_in_the_background_too(kb: KnowledgeBase, client_with_role: Callable[..., object]) -> None:
    client_with_role("editor", kb)
    queue(kb, Caller(name="key:1", kb_roles={kb.pk: AccessRole.EDITOR}), a_txt=b"A heron lives here.")
    Job.objects.update(actor=f"key:{kb.apikey_set.get().pk}")
    run_to_the_end(runner())
    assert Document.objects.get().status == "in_review"


def test_cancelling_does_not_wait_for_a_large_piece(kb: KnowledgeBase, admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEWEST_PASSAGES", "FIRST_PASSAGES", "MOST_PASSAGES"):
        monkeypatch.setattr(ingesting, name, 500)
    job = queue(kb, admin, rows_jsonl=rows(200))
    one = runner()

    class Cancelling(HashingEncoder):
        """In the middle of the piece, somebody cancels."""

        def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
            if self.texts_encoded:
                cancel_job(job, admin)
                one.beat()
            return super().encode_tokens(texts, role)

    encoder = Cancelling()
    use_backend(get_settings().encoder_backend, encoder)
    run_to_the_end(one)
    assert encoder.texts_encoded < 200
    assert counts(job) == (0, 0, 0, 0) and job.state == "cancelled" and not Document.objects.exists()
