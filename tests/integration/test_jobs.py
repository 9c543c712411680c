"""Background jobs: who works on which, whose turn it is, and what is left after a process is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import connection, connections

from apps.accounts.callers import caller_named
from apps.accounts.models import User
from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.models import KnowledgeBase
from apps.serving.jobs import kinds, leases
from apps.serving.jobs.run import JobRun, LeaseLost
from apps.serving.jobs.runner import JobRunner
from apps.serving.jobs.services import cancel_job, enqueue_job, retry_job
from apps.serving.models import Job
from core.errors import Forbidden, InvalidRequest, ModelUnavailable, NotFound, Overloaded
from tests.jobs import COUNTING, Counting, age_leases, queued, run_to_the_end, runner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("counting")]
State = Job.State


def states() -> dict[str, str]:
    return dict(Job.objects.values_list("title", "state"))


def test_jobs_of_a_line_are_done_in_their_order_and_lines_take_turns(kb: KnowledgeBase, other: KnowledgeBase, counting: Counting) -> None:
    for base, title in ((kb, "a1"), (kb, "a2"), (other, "b1")):
        queued(base, title, to=2)
    run_to_the_end(runner())
    assert counting.seen == [("a1", 0), ("b1", 0), ("a1", 1), ("b1", 1), ("a2", 0), ("a2", 1)]
    assert set(states().values()) == {State.DONE}


def test_a_job_alone_is_not_interrupted(kb: KnowledgeBase, counting: Counting) -> None:
    queued(kb, "a", to=50)
    one = runner()
    assert (one.run_one_slice(), one.run_one_slice()) == (True, False)
    assert len(counting.seen) == 50


def test_a_base_with_many_jobs_has_no_more_turns_than_one_with_a_single_job(
    kb: KnowledgeBase, other: KnowledgeBase, counting: Counting
) -> None:
    for number in range(4):
        queued(kb, f"a{number}", to=1)
    queued(other, "b", to=3)
    run_to_the_end(runner())
    assert [title for title, _ in counting.seen].index("a3") > counting.seen.index(("b", 2))


def test_jobs_that_wait_for_others_never_have_all_threads(kb: KnowledgeBase, other: KnowledgeBase, counting: Counting) -> None:
    """While one of two slow sites is waited for, another thread reads files, and does not go to wait for the second."""
    slow = kinds.JobKind(name="slow", label="Slow", work=counting.work, waits_for_others=True)
    kinds.register_kind(slow)
    for base, title in ((kb, "site"), (other, "second site"), (KnowledgeBase.objects.create(slug="law", name="Law"), "files")):
        queued(base, title, to=1)
    Job.objects.exclude(title="files").update(kind="slow")
    one, meanwhile = runner(), list[bool]()

    def wait(run: JobRun, step: int) -> None:
        if run.job.title == "site":
            meanwhile.extend(one.run_one_slice() for _ in range(3))

    counting.on_step = wait
    run_to_the_end(one)
    kinds._kinds.pop("slow")
    assert meanwhile[-1] is False and [title for title, _ in counting.seen] == ["files", "site", "second site"]


def test_whoever_is_lost_is_followed_by_another_at_the_last_checkpoint(kb: KnowledgeBase, other: KnowledgeBase, counting: Counting) -> None:
    queued(kb, "a", to=3)
    queued(other, "b", to=1)
    lost, heir = runner(), runner()
    lost.run_one_slice()
    assert not heir.run_one_slice() or counting.seen[-1] == ("b", 0)
    assert ("a", 1) not in counting.seen  # its lease still holds
    age_leases()
    run_to_the_end(heir)
    assert counting.seen.count(("a", 0)) == 1 and states() == {"a": State.DONE, "b": State.DONE}


def test_who_was_believed_dead_writes_nothing(kb: KnowledgeBase) -> None:
    job = queued(kb, "a")
    assert leases.claim(job, "first:1:x:y")
    late = JobRun(job, "first:1:x:y")
    age_leases()
    assert leases.claim(Job.objects.get(pk=job.pk), "second:1:x:y")
    with pytest.raises(LeaseLost):
        late.checkpoint({"next": 1}, done=1)
    assert not leases.finish(job.pk, "first:1:x:y", late.token, State.DONE)
    assert Job.objects.get().position == {}


def test_a_job_and_a_line_are_claimed_once(kb: KnowledgeBase) -> None:
    first, second = queued(kb, "a"), queued(kb, "b")
    seen = Job.objects.get(pk=first.pk)
    assert leases.claim(first, "one:1:x:y")
    assert not leases.claim(seen, "two:1:x:y")
    assert not leases.claim(second, "two:1:x:y")
    assert leases.next_claimable([COUNTING]) is None


@pytest.mark.django_db(transaction=True)
def test_of_many_that_claim_at_the_same_moment_one_wins(kb: KnowledgeBase) -> None:
    jobs = [queued(kb, str(number)) for number in range(4)]
    ready, won = threading.Barrier(8), list[str]()

    def try_it(number: int) -> None:
        ready.wait()
        if leases.claim(Job.objects.get(pk=jobs[number % 4].pk), f"host:{number}:x:y"):
            won.append(str(number))
        connections.close_all()

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_leases_of_processes_that_are_gone_end_at_once(kb: KnowledgeBase, other: KnowledgeBase) -> None:
    gone, here = queued(kb, "gone"), queued(other, "here")
    host, mine = leases._host(), leases.new_owner()
    leases.claim(gone, f"{host}:{2**22 + 1}:x:y")
    leases.claim(here, mine)
    assert leases.release_dead() == 1
    assert dict(Job.objects.values_list("title", "lease_owner")) == {"gone": "", "here": mine}


def test_cancelling_what_waits_ends_it_and_what_runs_at_the_next_step(kb: KnowledgeBase, counting: Counting, admin_caller: Caller) -> None:
    waiting, running = queued(kb, "waiting"), queued(kb, "running")
    assert cancel_job(waiting, admin_caller).state == State.CANCELLED
    one = runner()

    def cancel(run: JobRun, step: int) -> None:
        if step == 1:
            assert cancel_job(running, admin_caller).state == State.RUNNING
            one.beat()

    counting.on_step = cancel
    run_to_the_end(one)
    assert (states()["running"], counting.seen) == (State.CANCELLED, [("running", 0), ("running", 1)])


def test_a_job_whose_holder_let_its_lease_run_out_is_cancelled_at_once(kb: KnowledgeBase, counting: Counting, admin_caller: Caller) -> None:
    job = queued(kb, "a")
    lost = runner()
    counting.on_step = lambda run, step: age_leases() if step == 1 else None
    assert leases.claim(job, lost.owner)
    assert cancel_job(job, admin_caller).state == State.RUNNING
    age_leases()
    assert (cancel_job(job, admin_caller).state, job.lease_owner) == (State.CANCELLED, "")
    assert not leases.finish(job.pk, lost.owner, job.lease_token - 1, State.DONE)


def test_a_failed_job_goes_on_where_it_ended_when_it_is_tried_again(kb: KnowledgeBase, counting: Counting, admin_caller: Caller) -> None:
    job = queued(kb, "a")

    def break_at_1(run: JobRun, step: int) -> None:
        if step == 1:
            raise InvalidRequest("Step 1 cannot be done.")

    counting.on_step = break_at_1
    run_to_the_end(runner())
    job.refresh_from_db()
    assert (job.state, job.error, job.done) == (State.FAILED, "Step 1 cannot be done.", 1)
    counting.on_step = lambda run, step: None
    retry_job(job, admin_caller)
    run_to_the_end(runner())
    assert counting.seen == [("a", 0), ("a", 1), ("a", 2)] and states() == {"a": State.DONE}
    with pytest.raises(InvalidRequest, match="Only a failed job"):
        retry_job(job, admin_caller)


def test_what_can_be_helped_by_waiting_is_tried_again_later_and_then_given_up(kb: KnowledgeBase, counting: Counting) -> None:
    job = queued(kb, "a")

    def unavailable(run: JobRun, step: int) -> None:
        raise ModelUnavailable("No encoder.")

    counting.on_step = unavailable
    for attempt in range(1, 6):
        assert runner().run_one_slice()
        job.refresh_from_db()
        assert job.attempts == attempt and not runner().run_one_slice()
        Job.objects.update(not_before=None)
    assert (job.state, job.error) == (State.FAILED, "No encoder.")


def test_a_job_that_ends_every_process_is_given_up(kb: KnowledgeBase) -> None:
    queued(kb, "a", attempts=leases.MAX_ATTEMPTS)
    run_to_the_end(runner())
    assert Job.objects.get().state == State.FAILED and "lost 5 times" in Job.objects.get().error


def test_what_nobody_foresaw_fails_the_job_alone_and_says_nothing_of_the_inside(
    kb: KnowledgeBase, other: KnowledgeBase, counting: Counting
) -> None:
    queued(kb, "bad")
    queued(other, "good", to=1)

    def fail(run: JobRun, step: int) -> None:
        if run.job.title == "bad":
            raise KeyError("secret")

    counting.on_step = fail
    run_to_the_end(runner())
    assert states() == {"bad": State.FAILED, "good": State.DONE}
    assert "KeyError" in Job.objects.get(title="bad").error and "secret" not in Job.objects.get(title="bad").error


def test_a_stopped_server_gives_its_jobs_back_at_once(kb: KnowledgeBase, other: KnowledgeBase, counting: Counting) -> None:
    queued(kb, "a", to=3)
    queued(other, "b", to=1)
    one = runner()
    one.run_one_slice()
    one.close()
    assert list(Job.objects.exclude(lease_owner="")) == []
    run_to_the_end(runner())
    assert sorted(counting.seen) == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]


@pytest.mark.django_db(transaction=True)
def test_the_threads_of_a_server_work_on_what_is_queued(kb: KnowledgeBase, admin_caller: Caller, counting: Counting) -> None:
    done = threading.Event()
    counting.on_step = lambda run, step: done.set() if step == 2 else None
    server = JobRunner(2, poll_s=30.0)
    server.start()
    try:
        enqueue_job(COUNTING, kb=kb, caller=Caller(name="command:x", role=AccessRole.ADMIN), title="a", payload={"to": 3})
        assert done.wait(20)
    finally:
        server.close(10)
    assert len(counting.seen) == 3


def test_queueing_needs_a_role_a_known_kind_and_room_in_the_line(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, stranger = Caller(name="user:2", kb_roles={kb.pk: AccessRole.VIEWER}), Caller(name="user:3")
    admin = Caller(name="user:1", role=AccessRole.ADMIN)
    with pytest.raises(Forbidden):
        enqueue_job(COUNTING, kb=kb, caller=viewer, title="a")
    with pytest.raises(NotFound):
        enqueue_job(COUNTING, kb=kb, caller=stranger, title="a")
    with pytest.raises(InvalidRequest, match="no kind of job 'magic'"):
        enqueue_job("magic", kb=kb, caller=admin, title="a")
    monkeypatch.setattr("apps.serving.jobs.services.MAX_WAITING", 1)
    enqueue_job(COUNTING, kb=kb, caller=admin, title="a", payload={"to": 1})
    with pytest.raises(Overloaded):
        enqueue_job(COUNTING, kb=kb, caller=admin, title="b")


def test_a_kind_that_changes_nothing_does_not_wait_for_those_that_do(kb: KnowledgeBase, counting: Counting) -> None:
    admin = Caller(name="command:x", role=AccessRole.ADMIN)
    enqueue_job(COUNTING, kb=kb, caller=admin, title="changes", payload={"to": 3})
    kinds.register_kind(kinds.JobKind(name=COUNTING, label="Reading", work=counting.work, has_own_line=True))
    enqueue_job(COUNTING, kb=kb, caller=admin, title="reads", payload={"to": 1})
    run_to_the_end(runner())
    assert [title for title, _ in counting.seen] == ["changes", "reads", "changes", "changes"]


def test_a_job_ends_when_whoever_queued_it_may_no_longer_do_it(kb: KnowledgeBase, counting: Counting) -> None:
    queued(kb, "a")
    Job.objects.update(actor="user:999")
    counting.on_step = lambda run, step: run.caller.require(kinds.Permission.EDIT, kb.pk)
    run_to_the_end(runner())
    assert Job.objects.get().error == "Whoever asked for this may no longer do it: the person or key is gone."


def test_looking_for_work_takes_few_queries_however_much_waits(
    kb: KnowledgeBase, other: KnowledgeBase, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for number in range(30):
        queued((kb, other)[number % 2], str(number))
    with django_assert_max_num_queries(3):  # type: ignore[attr-defined]
        assert leases.next_claimable([COUNTING]) is not None
    assert connection.vendor in ("sqlite", "postgresql")


def test_a_process_of_its_own_works_until_nothing_waits(kb: KnowledgeBase, counting: Counting) -> None:
    queued(kb, "a")
    call_command("run_jobs", "--once")
    assert states() == {"a": State.DONE}


@pytest.mark.parametrize("name", ["user:999", "user:x", "key:999", "key:", "nobody", ""])
def test_nobody_acts_under_a_name_that_is_nobodys(name: str, db: None) -> None:
    with pytest.raises(Forbidden):
        caller_named(name)


def test_a_caller_has_the_rights_of_the_moment(kb: KnowledgeBase) -> None:
    user = User.objects.create(username="ada", role="editor")
    assert caller_named(f"user:{user.pk}").may(kinds.Permission.EDIT, kb.pk)
    User.objects.update(is_active=False)
    with pytest.raises(Forbidden):
        caller_named(f"user:{user.pk}")
