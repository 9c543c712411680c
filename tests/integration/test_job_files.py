"""Files that wait for their job: whose room they take, and when they go."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from apps.accounts.permissions import Caller
from apps.retrieval.models import KnowledgeBase
from apps.serving.jobs.files import folder_of, jobs_folder, remove_files, store_files, stored_bytes, sweep_files
from apps.serving.jobs.run import JobRun
from apps.serving.jobs.services import cancel_job, retry_job
from apps.serving.models import Job
from core.errors import InvalidRequest, Overloaded, PayloadTooLarge
from tests.jobs import Counting, queued, run_to_the_end, runner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("counting")]
State = Job.State


def test_files_of_a_job_go_with_its_end_and_stay_for_another_try(kb: KnowledgeBase, counting: Counting, admin_caller: Caller) -> None:
    folder, stored = store_files([("C:\\docs\\a.txt", io.BytesIO(b"hello"))], kb=kb)
    job = queued(kb, "a", folder=folder)
    assert stored == [("a.txt", 5)] and (folder_of(job) / "0").read_bytes() == b"hello"

    def fail(run: JobRun, step: int) -> None:
        raise InvalidRequest("No.")

    counting.on_step = fail
    run_to_the_end(runner())
    assert folder_of(job).is_dir()
    counting.on_step = lambda run, step: None
    retry_job(job, admin_caller)
    run_to_the_end(runner())
    assert not folder_of(job).exists()


def test_stored_files_have_names_without_folders(kb: KnowledgeBase) -> None:
    for name in ("", ".env", "..", "x" * 300):
        with pytest.raises(InvalidRequest):
            store_files([(name, io.BytesIO(b"x"))], kb=kb)
    folder, stored = store_files([("../../etc/passwd", io.BytesIO(b"x"))], kb=kb)
    remove_files(folder)
    assert stored == [("passwd", 1)]


@pytest.fixture
def room_for_8_mib(configure: Callable[..., None]) -> Iterator[None]:
    shutil.rmtree(jobs_folder(), ignore_errors=True)
    configure(jobs_max_mb=8)
    yield
    shutil.rmtree(jobs_folder(), ignore_errors=True)


def store_mib(kb: KnowledgeBase, mib: float) -> str:
    return store_files([("a", io.BytesIO(b"x" * int(mib * 2**20)))], kb=kb)[0]


def test_a_base_may_have_half_of_what_others_leave_waiting(kb: KnowledgeBase, other: KnowledgeBase, room_for_8_mib: None) -> None:
    """Of 8 MiB, one base may have 4 and then the next 2, so that no base can keep all others out."""
    store_mib(kb, 3)
    with pytest.raises(Overloaded, match=r"may take 4 MiB, half of what others leave of QA_JOBS_MAX_MB, and take 3 MiB by now\."):
        store_mib(kb, 1.5)
    first = store_mib(kb, 1)
    with pytest.raises(Overloaded, match="may take 2 MiB"):
        store_mib(other, 2.1)
    store_mib(other, 2)
    remove_files(first)
    store_mib(other, 0.5)
    assert stored_bytes() == {str(kb.pk): 3 * 2**20, str(other.pk): int(2.5 * 2**20)}


@pytest.mark.parametrize("waiting", [(), ("kb",), ("other",), ("kb", "other")])
def test_an_upload_that_never_fits_is_refused_for_good_whatever_waits(
    kb: KnowledgeBase, other: KnowledgeBase, room_for_8_mib: None, waiting: tuple[str, ...]
) -> None:
    for one in waiting:
        store_mib({"kb": kb, "other": other}[one], 2)
    before = stored_bytes()
    with pytest.raises(PayloadTooLarge, match="It is more than 4 MiB, half of QA_JOBS_MAX_MB: send it in parts"):
        store_mib(kb, 4.1)
    assert stored_bytes() == before


def test_files_that_never_fit_together_are_refused_before_one_is_written(kb: KnowledgeBase, room_for_8_mib: None) -> None:
    pieces = [(f"{number}.txt", io.BytesIO(b"x" * 3 * 2**20)) for number in range(2)]
    with pytest.raises(PayloadTooLarge):
        store_files(pieces, kb=kb)
    assert not jobs_folder().exists() and [piece.tell() for _name, piece in pieces] == [0, 0]


def test_files_that_go_while_they_are_counted_count_nothing(kb: KnowledgeBase, room_for_8_mib: None) -> None:
    folder = store_mib(kb, 1)
    (jobs_folder() / folder / "1").symlink_to("gone")  # in its folder's listing, and nowhere else
    assert stored_bytes() == {str(kb.pk): 2**20}


def test_sweeping_bears_that_a_folder_goes_meanwhile(kb: KnowledgeBase, room_for_8_mib: None) -> None:
    folder = jobs_folder() / store_mib(kb, 1)
    os.utime(folder, (0, 0))
    (jobs_folder() / "1-gone").symlink_to("gone")  # listed, and nowhere else
    assert sweep_files() == 1
    assert not folder.exists()


def test_giving_up_a_failed_job_makes_room(kb: KnowledgeBase, admin_caller: Caller) -> None:
    folder, _ = store_files([("a.txt", io.BytesIO(b"hello"))], kb=kb)
    job = queued(kb, "a", folder=folder, state=State.FAILED, error="It broke.")
    assert (cancel_job(job, admin_caller).state, job.error, folder_of(job).exists()) == (State.CANCELLED, "It broke.", False)
    with pytest.raises(InvalidRequest):
        retry_job(job, admin_caller)
