"""Jobs over HTTP: files are sent, read in the background, watched, cancelled and tried again; each role what it may."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from apps.retrieval.models import Document, KnowledgeBase
from apps.serving.jobs.files import jobs_folder
from apps.serving.jobs.progress import percent_done, seconds_left
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from tests.jobs import run_to_the_end

pytestmark = pytest.mark.django_db
INGESTIONS, JOBS = "/api/v1/kbs/hr/ingestions/", "/api/v1/kbs/hr/jobs/"


@pytest.fixture(autouse=True)
def base(kb: KnowledgeBase) -> KnowledgeBase:
    return kb


def send(client: APIClient, *texts: str) -> tuple[int, dict[str, object]]:
    files = [SimpleUploadedFile(f"f{number}.txt", text.encode()) for number, text in enumerate(texts)]
    response = client.post(INGESTIONS, {"files": files}, format="multipart")
    return response.status_code, response.json()


def test_files_are_taken_at_once_and_read_in_the_background(api: APIClient) -> None:
    status, job = send(api, "A walrus lives here.", "A heron lives here.", "")
    assert (status, job["state"], job["title"], job["percent"]) == (202, "queued", "f0.txt and 2 more files", 0.0)
    run_to_the_end(JobRunner(0))
    after = api.get(f"{JOBS}{job['id']}/").json()
    assert (after["state"], after["percent"], after["result"]["created"], after["result"]["bad"]) == ("done", 100.0, 2, 1)
    report = api.get(f"{INGESTIONS}{after['result']['ingestion']}/").json()
    assert (report["created"], [item["place"] for item in report["items"]]) == (2, ["f2.txt"])
    assert Document.objects.count() == 2


def test_the_list_tells_how_many_come_before(api: APIClient) -> None:
    for text in ("one", "two", "three"):
        send(api, text)
    assert [job["ahead"] for job in api.get(JOBS).json()["results"]] == [2, 1, 0]
    assert api.get(f"{JOBS}?state=done").json()["results"] == []
    assert api.get(f"{JOBS}?state=odd").status_code == 400


def test_a_job_is_cancelled_and_not_tried_again(api: APIClient) -> None:
    _, job = send(api, "A walrus lives here.")
    assert api.post(f"{JOBS}{job['id']}/cancel").json()["state"] == "cancelled"
    assert api.post(f"{JOBS}{job['id']}/cancel").json()["state"] == "cancelled"
    refused = api.post(f"{JOBS}{job['id']}/retry")
    assert (refused.status_code, refused.json()["error"]["details"]["state"]) == (400, "cancelled")
    run_to_the_end(JobRunner(0))
    assert not Document.objects.exists()


def test_a_failed_job_is_tried_again(api: APIClient) -> None:
    _, job = send(api, "A walrus lives here.")
    Job.objects.update(state=Job.State.FAILED, error="No.")
    assert api.post(f"{JOBS}{job['id']}/retry").json()["state"] == "queued"
    run_to_the_end(JobRunner(0))
    assert Document.objects.count() == 1


def test_an_upload_that_never_fits_is_told_so_at_once_whatever_waits(api: APIClient, configure: Callable[..., None]) -> None:
    """Of 1 MiB, one base may have half; a second upload of less must wait, a larger one need not be tried again."""
    shutil.rmtree(jobs_folder(), ignore_errors=True)
    configure(jobs_max_mb=1)
    half = "x" * 2**19
    assert send(api, half)[0] == 202
    status, refused = send(api, "x")
    assert (status, refused["error"]["code"], refused["error"]["retryable"]) == (503, "overloaded", True)
    status, refused = send(api, half, "x")
    assert (status, refused["error"]["code"], refused["error"]["retryable"]) == (413, "payload_too_large", False)


@pytest.mark.parametrize(("role", "statuses"), [("viewer", (403, 200, 403)), ("asker", (404, 404, 404)), ("editor", (202, 200, 200))])
def test_roles(client_with_role: Callable[..., APIClient], api: APIClient, role: str, statuses: tuple[int, ...]) -> None:
    _, job = send(api, "A walrus lives here.")
    client = client_with_role(role)
    assert (
        send(client, "x")[0],
        client.get(f"{JOBS}{job['id']}/").status_code,
        client.post(f"{JOBS}{job['id']}/cancel").status_code,
    ) == statuses


def test_jobs_of_another_base_are_not_there(api: APIClient, client_with_role: Callable[..., APIClient]) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    _, job = send(api, "A walrus lives here.")
    theirs = client_with_role("admin", other)
    for client in (api, theirs):
        assert client.get(f"/api/v1/kbs/it/jobs/{job['id']}/").status_code == 404
    assert theirs.get(JOBS).status_code == 404
    assert APIClient().get(JOBS).status_code == 401


@pytest.mark.parametrize("body", [{}, {"files": "text"}, {"other": SimpleUploadedFile("a.txt", b"x")}])
def test_a_request_without_files_is_told_so(api: APIClient, body: dict[str, object]) -> None:
    response = api.post(INGESTIONS, body, format="multipart")
    assert (response.status_code, response.json()["error"]["details"]) == (400, {"field": "files"})


def test_bad_bodies_are_refused(api: APIClient) -> None:
    assert api.post(INGESTIONS, json.dumps({"files": []}), content_type="application/json").status_code == 400
    assert api.post(INGESTIONS, b"junk", content_type="multipart/form-data; boundary=x").status_code == 400
    assert api.post(INGESTIONS, b"junk", content_type="multipart/form-data").status_code == 400
    assert api.get(f"{JOBS}99999999999999999999/").status_code == 404


def test_how_long_it_will_take_comes_from_the_last_minutes() -> None:
    job = Job(state=Job.State.RUNNING, done=400, total=1000, samples=[[100.0, 100], [120.0, 300]])
    assert seconds_left(job, now=130.0) == 60  # 300 in 30 s: 600 more take 60
    job.cancel_requested = True
    assert seconds_left(job, now=130.0) is None
    assert seconds_left(Job(state=Job.State.RUNNING, done=100, total=1000, samples=[[100.0, 100]]), now=130.0) is None
    assert percent_done(job) == 40.0
    assert percent_done(Job(state=Job.State.RUNNING, done=10, total=10)) == 99.9
    assert percent_done(Job(state=Job.State.DONE, done=0, total=0)) == 100.0
