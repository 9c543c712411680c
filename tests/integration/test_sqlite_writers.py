"""Writers of one process on SQLite take turns in memory, and nobody who fails keeps the others out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connection, transaction

from apps.retrieval.models import KnowledgeBase

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def in_thread() -> Iterator[Callable]:
    """Runs a function in another thread, whose connection is closed at the end; returns its future."""

    def closing(work: Callable[[], object]) -> object:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        yield lambda work: pool.submit(closing, work)


def add_one(pause_s: float = 0.0) -> None:
    """Reads, thinks and writes: two at once would lose one."""
    with transaction.atomic():
        revision = KnowledgeBase.objects.get(slug="hr").revision
        time.sleep(pause_s)
        KnowledgeBase.objects.filter(slug="hr").update(revision=revision + 1)


def test_many_writers_take_turns(kb: KnowledgeBase, in_thread: Callable) -> None:
    for write in [in_thread(lambda: add_one(0.01)) for _ in range(16)]:
        write.result(20)
    kb.refresh_from_db()
    assert kb.revision == 16


def test_the_next_writer_goes_on_as_soon_as_the_first_is_done(kb: KnowledgeBase, in_thread: Callable) -> None:
    writing = threading.Event()

    def first() -> float:
        with transaction.atomic():
            writing.set()
            time.sleep(0.3)
        return time.monotonic()

    def second() -> float:
        writing.wait(5)
        with transaction.atomic():
            return time.monotonic()

    ends, begins = in_thread(first), in_thread(second)
    assert -0.05 < begins.result(10) - ends.result(10) < 0.1


@pytest.mark.parametrize("wrong", ["raise", "sql", "nested"])
def test_a_transaction_that_fails_lets_others_write(kb: KnowledgeBase, in_thread: Callable, wrong: str) -> None:
    def fail() -> None:
        with transaction.atomic():
            if wrong == "nested":
                with transaction.atomic():
                    raise KeyError(wrong)
            if wrong == "sql":
                connection.cursor().execute("SELECT nothing FROM nowhere")
            raise KeyError(wrong)

    with pytest.raises((KeyError, DatabaseError)):
        in_thread(fail).result(5)
    in_thread(add_one).result(5)
    kb.refresh_from_db()
    assert kb.revision == 1


def test_a_connection_closed_while_writing_lets_others_write(kb: KnowledgeBase, in_thread: Callable) -> None:
    def leave() -> None:
        connection.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        connection.close()

    in_thread(leave).result(5)
    in_thread(add_one).result(5)


def test_readers_do_not_wait_for_a_writer(kb: KnowledgeBase, in_thread: Callable) -> None:
    with transaction.atomic():
        KnowledgeBase.objects.update(revision=7)
        assert in_thread(lambda: KnowledgeBase.objects.get().revision).result(5) == 0
