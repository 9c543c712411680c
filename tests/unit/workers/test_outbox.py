"""Do calls share messages when it pays, and only then? With the clock as it is; nothing is sent."""

from __future__ import annotations

import threading
import time

import pytest

from core.errors import ModelUnavailable, Overloaded
from core.types import Priority
from workers.outbox import CALLS_PER_MESSAGE, LINGER_S, MESSAGES_UNDER_WAY, Outbox, Waiting
from workers.wire import Call

LIVE, BULK = Priority.LIVE, Priority.BULK


def waiting(name: str, priority: Priority = LIVE, *, role: str = "encoder") -> Waiting:
    now = time.monotonic()
    return Waiting(Call(id=name, body={}, deadline_at=time.time() + 5), role, priority, now, now + 5)


def add(outbox: Outbox, *names: str, priority: Priority = LIVE, role: str = "encoder") -> list[Waiting]:
    entries = [waiting(name, priority, role=role) for name in names]
    for entry in entries:
        outbox.add(entry)
    return entries


def names(batch: list[Waiting]) -> list[str]:
    return [entry.call.id for entry in batch]


def with_full_window(priority: Priority = LIVE) -> tuple[Outbox, list[Waiting]]:
    """As many messages under way as may be, of one call each."""
    outbox, sent = Outbox(100), list[Waiting]()
    for number in range(MESSAGES_UNDER_WAY):
        sent += add(outbox, f"sent {number}", priority=priority)
        assert len(outbox.take()) == 1
    return outbox, sent


def test_a_lonely_call_goes_at_once() -> None:
    outbox = Outbox(100)
    add(outbox, "a")
    assert names(outbox.take()) == ["a"]


def test_what_comes_while_the_window_is_full_goes_together_when_a_reply_makes_room() -> None:
    outbox, sent = with_full_window()
    add(outbox, "a", "b", "c")
    assert outbox.take() == []
    outbox.forget(sent[0])
    assert names(outbox.take()) == ["a", "b", "c"]


def test_a_person_waits_for_room_no_longer_than_the_linger() -> None:
    outbox, _ = with_full_window()
    add(outbox, "a")
    time.sleep(LINGER_S)
    assert names(outbox.take()) == ["a"]


def test_an_import_waits_for_room_however_long_it_takes() -> None:
    outbox, sent = with_full_window(BULK)
    add(outbox, "a", priority=BULK)
    time.sleep(LINGER_S * 2)
    assert outbox.take() == []
    outbox.forget(sent[0])
    assert names(outbox.take()) == ["a"]


def test_people_go_before_imports_that_came_first() -> None:
    outbox = Outbox(100)
    add(outbox, "import", priority=BULK)
    add(outbox, "person")
    assert [names(outbox.take()), names(outbox.take())] == [["person"], ["import"]]


def test_a_message_holds_no_more_than_its_share_of_calls() -> None:
    outbox = Outbox(100)
    add(outbox, *(str(number) for number in range(40)))
    assert [len(outbox.take()) for _ in range(3)] == [CALLS_PER_MESSAGE[LIVE], CALLS_PER_MESSAGE[LIVE], 40 - 2 * CALLS_PER_MESSAGE[LIVE]]


def test_calls_of_another_role_go_in_a_message_of_their_own() -> None:
    outbox = Outbox(100)
    add(outbox, "a", "b")
    add(outbox, "c", role="reranker")
    assert [names(outbox.take()), names(outbox.take())] == [["a", "b"], ["c"]]


def test_a_message_makes_room_only_when_its_last_call_is_answered() -> None:
    outbox, sent = with_full_window()
    outbox.forget(sent[0])
    pair = add(outbox, "a", "b")
    outbox.take()
    add(outbox, "c")
    outbox.forget(pair[0])
    assert outbox.take() == []
    outbox.forget(pair[1])
    assert names(outbox.take()) == ["c"]


def test_what_is_sent_again_goes_first_and_counts_as_a_second_attempt() -> None:
    outbox = Outbox(100)
    (lost,) = add(outbox, "lost")
    outbox.take()
    add(outbox, "new")
    assert outbox.send_again(lost) and not outbox.send_again(lost)
    assert names(outbox.take()) == ["lost", "new"] and lost.attempts == 2


def test_a_message_that_never_left_is_no_attempt() -> None:
    outbox = Outbox(100)
    (entry,) = add(outbox, "a")
    outbox.take()
    assert outbox.send_again(entry, counts=False) and entry.attempts == 0


def test_who_gave_up_is_not_sent_and_a_worker_that_has_the_call_is_told() -> None:
    outbox = Outbox(100)
    sent, queued = add(outbox, "sent")[0], waiting("queued")
    outbox.take()
    outbox.add(queued)
    for entry in (sent, queued):
        entry.future.cancel()
        outbox.forget(entry, cancelled=True)
    assert outbox.take() == [] and len(outbox) == 0
    assert outbox.wait_for_work() == ["sent"]


def test_one_more_than_may_wait_is_told_when_to_come_back() -> None:
    outbox = Outbox(2)
    add(outbox, "a", "b")
    with pytest.raises(Overloaded) as refused:
        outbox.add(waiting("c"))
    assert refused.value.details == {"retry_after_s": 1.0}


def test_imports_that_wait_take_no_room_from_people() -> None:
    outbox = Outbox(2)
    add(outbox, "a", "b", priority=BULK)
    add(outbox, "person")
    with pytest.raises(Overloaded):
        outbox.add(waiting("c", BULK))


def test_room_is_free_again_once_a_call_is_answered() -> None:
    outbox = Outbox(1)
    (answered,) = add(outbox, "a")
    outbox.forget(answered)
    assert names(add(outbox, "b")) == ["b"]


def test_an_import_that_a_worker_had_no_time_for_goes_again_when_it_asked_for_that() -> None:
    outbox = Outbox(100)
    (entry,) = add(outbox, "import", priority=BULK)
    outbox.take()
    assert outbox.send_later(entry, Overloaded("busy", retry_after_s=0.05))
    outbox.wait_for_work()
    assert outbox.take() == []
    time.sleep(0.05)
    outbox.wait_for_work()
    assert names(outbox.take()) == ["import"] and entry.attempts == 1


def test_the_second_copy_of_a_call_that_was_answered_is_taken_back() -> None:
    outbox = Outbox(100)
    once, twice = add(outbox, "once", "twice")
    outbox.take()
    outbox.send_again(twice)
    outbox.take()
    for entry in (once, twice):
        outbox.forget(entry)
    assert outbox.wait_for_work() == ["twice"]


def test_closing_wakes_the_sender_and_names_who_waits() -> None:
    outbox, woken = Outbox(100), threading.Event()
    threading.Thread(target=lambda: (outbox.wait_for_work(), woken.set())).start()
    assert outbox.close() == [] and woken.wait(2)
    with pytest.raises(ModelUnavailable):
        outbox.add(waiting("a"))
