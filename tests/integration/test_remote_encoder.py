"""Do questions get their vectors over Redis and Celery, whatever dies on the way?"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import redis
from prometheus_client import REGISTRY

from core.config import get_settings
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded, QAError
from core.types import Role
from tests.inference_workers import WorkerProcess, redis_url, start_worker, wait_for
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures
from workers.local import LocalEncoder
from workers.remote import RemoteEncoder

Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Sets QA_ variables of this process: `configure(REMOTE_TIMEOUT_S="2")`."""

    def apply(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"QA_{name}", value)
        get_settings.cache_clear()

    yield apply
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def url() -> str:
    return redis_url(9)


@pytest.fixture(scope="module")
def worker(url: str, tiny_folder: Path) -> Iterator[WorkerProcess]:  # noqa: F811
    """A worker that the tests share: who harms one starts another."""
    with start_worker(url, {"QA_ENCODER": str(tiny_folder)}) as started:
        started.wait_until_alive()
        yield started


@pytest.fixture
def remote(url: str, configure: Configure) -> Iterator[RemoteEncoder]:
    configure(REDIS_URL=url, REMOTE_TIMEOUT_S="3")
    encoder = RemoteEncoder()
    yield encoder
    encoder.close()


@pytest.fixture
def local(tiny_folder: Path, configure: Configure) -> Iterator[LocalEncoder]:  # noqa: F811
    configure(ENCODER=str(tiny_folder), DEVICE="cpu")
    encoder = LocalEncoder()
    yield encoder
    encoder.close()


def test_vectors_are_those_of_the_same_model_in_this_process(worker: WorkerProcess, remote: RemoteEncoder, local: LocalEncoder) -> None:
    texts = ["怎么重置密码", "how reset the password", ""]
    assert (remote.model_id, remote.dim) == (local.model_id, local.dim)
    np.testing.assert_allclose(remote.encode(texts, Role.PASSAGE), local.encode(texts, Role.PASSAGE), atol=1e-3)
    for (vector, tokens), (own_vector, own_tokens) in zip(
        remote.encode_tokens(texts, Role.QUERY), local.encode_tokens(texts, Role.QUERY), strict=True
    ):
        np.testing.assert_allclose(vector, own_vector, atol=1e-3)
        np.testing.assert_allclose(tokens, own_tokens, atol=1e-3)


def test_an_import_keeps_its_order_through_many_messages(worker: WorkerProcess, remote: RemoteEncoder, local: LocalEncoder) -> None:
    texts = [f"reset {'the ' * (number % 9)}{number}" for number in range(700)]
    assert (remote.encode(texts, Role.PASSAGE) * local.encode(texts, Role.PASSAGE)).sum(1).min() > 0.999


def test_a_list_of_nothing_gives_no_rows(worker: WorkerProcess, remote: RemoteEncoder) -> None:
    assert remote.encode([], Role.QUERY).shape == (0, 32)
    assert remote.encode_tokens([], Role.QUERY) == []


def test_a_repeated_question_needs_no_worker(worker: WorkerProcess, remote: RemoteEncoder) -> None:
    first = remote.encode_query("how reset the password")
    with worker.paused():
        again = remote.encode_query("how reset the password")
    assert again.vector is first.vector and again.encoder == first.encoder == remote.model_id


def test_callers_share_messages_and_forward_passes(worker: WorkerProcess, remote: RemoteEncoder) -> None:
    with ThreadPoolExecutor(64) as callers:
        queries = list(callers.map(lambda number: remote.encode_query(f"reset {number}"), range(256)))
    assert len({query.vector.tobytes() for query in queries}) == 256
    asked = time.time()
    wait_for(lambda: (record := worker.record()) is not None and record.heartbeat_at > asked and not record.running)
    record = worker.record()
    assert record is not None
    model = record.model("encoder")
    assert model.mean_batch > 2 and model.requests < 256 and model.waiting == 0


def test_a_worker_says_what_it_is(worker: WorkerProcess, remote: RemoteEncoder) -> None:
    record = worker.record()
    assert record is not None
    assert (record.roles, record.model("encoder").model_id, record.device) == (("encoder", "reranker", "generator"), remote.model_id, "cpu")
    assert record.memory_mb > 50 and record.started_at < record.heartbeat_at <= time.time() + 1


def test_a_paused_worker_is_waited_for_no_longer_than_the_deadline(worker: WorkerProcess, url: str, configure: Configure) -> None:
    configure(REDIS_URL=url, REMOTE_TIMEOUT_S="1")
    encoder = RemoteEncoder()
    began = time.monotonic()
    with worker.paused(), pytest.raises(DeadlineExceeded):
        encoder.encode_query("too late")
    assert 0.9 < time.monotonic() - began < 8
    assert encoder.encode_query("in time").vector.shape == (32,)
    encoder.close()


def test_more_callers_than_may_wait_are_told_when_to_come_back(worker: WorkerProcess, url: str, configure: Configure) -> None:
    configure(REDIS_URL=url, REMOTE_TIMEOUT_S="2", REMOTE_MAX_WAITING="2")
    encoder = RemoteEncoder()
    with ThreadPoolExecutor(2) as callers, worker.paused():
        waiting = [callers.submit(encoder.encode_query, f"patient {number}") for number in range(2)]
        wait_for(lambda: len(encoder._dispatcher._outbox) == 2)
        with pytest.raises(Overloaded) as refused:
            encoder.encode_query("one too many")
        assert refused.value.details["retry_after_s"] == 1.0
        assert all(isinstance(future.exception(), DeadlineExceeded) for future in waiting)
    encoder.close()


def test_closing_ends_every_wait(worker: WorkerProcess, remote: RemoteEncoder) -> None:
    with ThreadPoolExecutor(1) as callers, worker.paused():
        waiting = callers.submit(remote.encode_query, "still there?")
        time.sleep(0.3)
        remote.close()
        assert isinstance(waiting.exception(2), ModelUnavailable)
    with pytest.raises(ModelUnavailable, match="shutting down"):
        remote.encode_query("anybody?")


def test_without_a_worker_the_refusal_comes_at_once(configure: Configure) -> None:
    configure(REDIS_URL=redis_url(10))
    encoder = RemoteEncoder()
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="No inference worker is alive"):
        encoder.encode_query("anybody?")
    assert time.monotonic() - began < 8
    encoder.close()


def test_without_redis_the_refusal_comes_by_the_deadline(configure: Configure) -> None:
    configure(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", REMOTE_TIMEOUT_S="1")
    encoder = RemoteEncoder()
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="could not be reached"):
        encoder.encode_query("anybody?")
    assert time.monotonic() - began < 10  # of a second, but CI machines may be busy
    encoder.close()


def test_a_worker_without_its_model_ends_and_says_why(tmp_path: Path) -> None:
    with start_worker(redis_url(10), {"QA_ENCODER": "multilingual-e5-small", "QA_MODEL_DIR": str(tmp_path)}) as started:
        assert started.process.wait(60) != 0


def test_sigterm_ends_a_worker_cleanly(tiny_folder: Path) -> None:  # noqa: F811
    with start_worker(redis_url(10), {"QA_ENCODER": str(tiny_folder)}) as started:
        started.wait_until_alive()
        time.sleep(1)  # from its first heartbeat to its first look at the queues
        started.process.terminate()
        assert started.process.wait(15) == 0
        assert started.record() is None


class AskAllTheWhile:
    """Eight callers that ask new questions from start to `stop`."""

    def __init__(self, encoder: RemoteEncoder) -> None:
        self._encoder = encoder
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.answers = 0
        self.longest_s = 0.0
        self.errors: list[QAError] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(8)]
        for thread in self._threads:
            thread.start()

    def wait_for_answers(self, count: int, timeout_s: float = 30.0) -> None:
        """Until so many more were answered."""
        goal, deadline = self.answers + count, time.monotonic() + timeout_s
        while self.answers < goal:
            assert time.monotonic() < deadline, f"{self.answers - goal + count} of {count} answers in {timeout_s:g} s"
            time.sleep(0.02)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _ask(self, caller: int) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            began = time.monotonic()
            try:
                self._encoder.encode_query(f"reset {caller} {number}")
                error = None
            except QAError as raised:
                error = raised
            with self._lock:
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                self.answers += error is None
                self.errors += [error] if error else []
            if error:
                time.sleep(0.1)


def test_when_a_worker_is_killed_its_questions_are_asked_again_elsewhere(
    worker: WorkerProcess,
    remote: RemoteEncoder,
    url: str,
    tiny_folder: Path,  # noqa: F811
) -> None:
    with start_worker(url, {"QA_ENCODER": str(tiny_folder)}) as doomed:
        doomed.wait_until_alive()
        before = sent_again()
        traffic = AskAllTheWhile(remote)
        traffic.wait_for_answers(50)
        doomed.process.send_signal(signal.SIGSTOP)  # so that it surely dies with questions in hand
        time.sleep(0.2)
        doomed.process.kill()
        traffic.wait_for_answers(200)
        traffic.stop()
    assert traffic.errors == []
    assert sent_again() > before
    assert traffic.longest_s < 15


def test_when_redis_is_killed_everybody_is_served_again_soon(tmp_path: Path, tiny_folder: Path, configure: Configure) -> None:  # noqa: F811
    server = OwnRedis(tmp_path)
    configure(REDIS_URL=server.url, REMOTE_TIMEOUT_S="3")
    encoder = RemoteEncoder()
    with start_worker(server.url, {"QA_ENCODER": str(tiny_folder)}) as worker:
        worker.wait_until_alive()
        traffic = AskAllTheWhile(encoder)
        for _ in range(2):
            traffic.wait_for_answers(50)
            server.kill()
            time.sleep(0.5)
            server.start()
            traffic.wait_for_answers(100, timeout_s=60)
        traffic.stop()
        assert worker.process.poll() is None
    encoder.close()
    server.kill()
    assert all(error.retryable for error in traffic.errors)
    assert traffic.longest_s < 15  # of three seconds, but CI machines may be busy


def sent_again() -> float:
    """Requests that were sent a second time because their answer was late."""
    return REGISTRY.get_sample_value("wenlu_remote_resent_total", {"reason": "late"}) or 0.0


class OwnRedis:
    """A Redis of this test, which may die."""

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which("redis-server")
        if self._program is None:
            pytest.skip("needs the program redis-server")
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        options = ["--port", str(self._port), "--dir", str(self._folder), "--save", "", "--loglevel", "warning"]
        self._process = subprocess.Popen([self._program, *options])
        with redis.Redis.from_url(self.url) as client:
            for _ in range(100):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.05)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
