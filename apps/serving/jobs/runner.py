"""How are jobs worked on? A few threads take turns: each works on the job whose line has waited longest, a second or so at a time.

A job that has begun keeps its lease and its place in memory while others have their turn; after a kill it goes on at its last
checkpoint in whichever process claims it. The threads are nice to those that answer people, on Linux.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from functools import cache

from django.db import DatabaseError, close_old_connections, transaction
from django.utils import timezone

from apps.serving.jobs import leases
from apps.serving.jobs.files import remove_files, sweep_files
from apps.serving.jobs.kinds import kind_named, known_kinds
from apps.serving.jobs.news import forget_queued, on_queued, tell_change
from apps.serving.jobs.run import JobRun, LeaseLost, Stopping
from apps.serving.models import Job
from core.config import get_settings
from core.errors import Cancelled, QAError

log = logging.getLogger(__name__)

SLICE_S = 1.0
POLL_S = 1.0
HEARTBEAT_S = 5.0
SWEEP_S = 3600.0
STOP_S = 3.0
AGAIN_S = (2.0, 10.0, 60.0, 300.0)
NICENESS = 10
_DONE, _FAILED, _CANCELLED = Job.State("done"), Job.State("failed"), Job.State("cancelled")


class _Held:
    """A job that this process has begun: its run, and the generator that does the work."""

    def __init__(self, run: JobRun, steps: Generator[None, None, None]) -> None:
        self.run, self.steps = run, steps
        self.busy = True
        self.served_at = timezone.now()


class JobRunner:
    """Works on jobs of the kinds that are registered, with `threads` threads; `slice_s` is how long one has its turn."""

    def __init__(self, threads: int, *, slice_s: float = SLICE_S, poll_s: float = POLL_S) -> None:
        self.owner = leases.new_owner()
        self._slice_s, self._poll_s = slice_s, poll_s
        self._held: dict[int, _Held] = {}
        self._choosing = threading.Lock()
        self._queued = threading.Condition()
        self._news = 0
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work_on, name=f"jobs-{n}", daemon=True) for n in range(threads)]
        self._heart = threading.Thread(target=self._beat_on, name="jobs-heartbeat", daemon=True)

    def start(self) -> None:
        """Starts the threads."""
        on_queued(self.wake)
        for thread in [*self._threads, self._heart]:
            thread.start()

    def close(self, within_s: float = STOP_S) -> None:
        """Ends the work at the next checkpoint and gives the jobs back; what takes longer is left to its lease."""
        forget_queued(self.wake)
        self._stopping.set()
        for held in list(self._held.values()):
            held.run.stopping.set()
        self.wake()
        until = time.monotonic() + within_s
        for thread in [*self._threads, self._heart]:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        for held in [held for held in list(self._held.values()) if not held.busy]:
            self._let_go(held)
            leases.give_back(held.run.job.pk, self.owner, held.run.token)

    def wake(self) -> None:
        """There may be something to do."""
        with self._queued:
            self._news += 1
            self._queued.notify_all()

    def run_one_slice(self) -> bool:
        """One turn of one job, in the calling thread; False where there is nothing to do."""
        held = self._next()
        if held is not None:
            self._serve(held)
        return held is not None

    def beat(self) -> None:
        """Renews the leases, and tells the jobs that were cancelled or lost."""
        runs = {held.run.job.pk: held.run for held in list(self._held.values())}
        still = leases.renew(self.owner, list(runs)) if runs else {}
        for pk, run in runs.items():
            if pk not in still:
                run.lost.set()
            elif still[pk]:
                run.cancelled.set()

    def _work_on(self) -> None:
        _be_nice()
        while not self._stopping.is_set():
            seen = self._news
            try:
                if self.run_one_slice():
                    continue
            except DatabaseError:  # it may be away for a while; leases and checkpoints bear that
                log.exception("jobs not looked at")
            finally:
                close_old_connections()
            with self._queued:
                self._queued.wait_for(lambda seen=seen: self._news != seen or self._stopping.is_set(), self._poll_s)  # type: ignore[misc]

    def _beat_on(self) -> None:
        swept_at = -SWEEP_S
        while not self._stopping.is_set():
            try:
                leases.release_dead()
                self.beat()
                if time.monotonic() - swept_at >= SWEEP_S:
                    swept_at = time.monotonic()
                    sweep_files()
            except (DatabaseError, OSError):  # a disk that is away must not cost the jobs their leases for good
                log.exception("leases of jobs not renewed, or files not swept")
            finally:
                close_old_connections()
            self._stopping.wait(HEARTBEAT_S)

    def _next(self) -> _Held | None:
        """The job to work on now: one that rests here or one that nobody holds, whichever line was served longer ago."""
        with self._choosing:
            kinds = self._kinds_now()
            able = (held for held in list(self._held.values()) if not held.busy and held.run.job.kind in kinds)
            resting = min(able, key=lambda held: held.served_at, default=None)
            new = leases.next_claimable(kinds)
            if new is not None and (resting is None or leases.served_before(new, resting.served_at)) and leases.claim(new, self.owner):
                return self._begin(new)
            if resting is not None:
                resting.busy = True
            return resting

    def _kinds_now(self) -> list[str]:
        """The kinds that may have a thread now: where there are several, one is kept from those that wait for others."""
        waiting = sum(held.busy and kind_named(held.run.job.kind).waits_for_others for held in list(self._held.values()))
        return known_kinds(patient=waiting < max(1, len(self._threads) - 1))

    def _begin(self, job: Job) -> _Held:
        run = JobRun(job, self.owner)
        held = self._held[job.pk] = _Held(run, kind_named(job.kind).work(run))
        if self._stopping.is_set():
            run.stopping.set()
        if job.cancel_requested:
            run.cancelled.set()
        log.info("job taken job=%s kind=%s attempt=%d", job.pk, job.kind, job.attempts)
        return held

    def _serve(self, held: _Held) -> None:
        """Works on a job until its turn is over or it ends."""
        try:
            ended = self._work(held)
        except LeaseLost:
            log.warning("job lost to another process job=%s", held.run.job.pk)
            self._let_go(held)
        except Stopping:
            self._let_go(held)
            leases.give_back(held.run.job.pk, self.owner, held.run.token)
        except Cancelled as error:
            if held.run.cancelled.is_set():
                self._end(held, _CANCELLED)
            else:
                self._fail(held, error)
        except QAError as error:
            self._fail(held, error)
        except Exception as error:
            log.exception("job failed job=%s", held.run.job.pk)
            self._fail_unexpectedly(held, error)
        else:
            if ended:
                self._end(held, _DONE)
            else:
                held.served_at, held.busy = timezone.now(), False
        tell_change(held.run.job)

    def _work(self, held: _Held) -> bool:
        """Whether the job came to its end."""
        if held.run.job.attempts > leases.MAX_ATTEMPTS:
            raise QAError(f"Whoever worked on it was lost {leases.MAX_ATTEMPTS} times at the same place; the log of the server says more.")
        until = time.monotonic() + self._slice_s
        self._end_if_asked(held)
        for _ in held.steps:
            tell_change(held.run.job)
            self._end_if_asked(held)
            if time.monotonic() >= until and self._somebody_waits():
                return False
        return True

    @staticmethod
    def _end_if_asked(held: _Held) -> None:
        """Raises where the job should rest or end, inside its generator, so that this can close what it has begun."""
        try:
            held.run.check()
        except (Cancelled, Stopping, LeaseLost) as reason:
            held.steps.throw(reason)

    def _somebody_waits(self) -> bool:
        return any(not held.busy for held in list(self._held.values())) or leases.next_claimable(known_kinds()) is not None

    def _fail(self, held: _Held, error: QAError) -> None:
        attempts = held.run.job.attempts
        if error.retryable and attempts <= len(AGAIN_S):
            self._let_go(held)
            wait_s = AGAIN_S[max(0, attempts - 1)]
            leases.put_off(held.run.job.pk, self.owner, held.run.token, seconds=wait_s, error=error.message)
            log.warning("job put off job=%s error=%s again_in_s=%g", held.run.job.pk, error.code, wait_s)
        else:
            self._end(held, _FAILED, error=error.message)

    def _fail_unexpectedly(self, held: _Held, error: Exception) -> None:
        """The reason is in the log: what an unforeseen error says is not for everybody."""
        attempts = held.run.job.attempts
        with suppress(DatabaseError):  # where it is away, the lease runs out and somebody goes on
            if isinstance(error, DatabaseError) and attempts <= len(AGAIN_S):
                self._let_go(held)
                leases.put_off(
                    held.run.job.pk, self.owner, held.run.token, seconds=AGAIN_S[max(0, attempts - 1)], error=type(error).__name__
                )
            else:
                self._end(held, _FAILED, error=f"Something went wrong on our side ({type(error).__name__}); it has been logged.")

    def _end(self, held: _Held, state: Job.State, *, error: str = "") -> None:
        """Says how the job ended; then its files go, unless they are needed for another try."""
        self._let_go(held)
        job = held.run.job
        with transaction.atomic():
            ended = leases.finish(job.pk, self.owner, held.run.token, state, error=error)
            if ended:
                job.refresh_from_db()
                kind_named(job.kind).ended(job)
        if ended:
            log.info("job ended job=%s kind=%s state=%s", job.pk, job.kind, state)
            if state != _FAILED:
                remove_files(job.folder)

    def _let_go(self, held: _Held) -> None:
        self._held.pop(held.run.job.pk, None)
        held.steps.close()


def _be_nice() -> None:
    """Lets threads that answer people go first. On Linux a thread has a niceness of its own; elsewhere nothing is changed."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@cache
def runner() -> JobRunner:
    """The process-wide runner."""
    return JobRunner(get_settings().job_threads)
