"""Buckets and quotas, of one process and of several: what is taken, what is owed, and when there is enough again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.accounts.counts import Bucket, Counts, Quota
from apps.accounts.memory_counts import MemoryCounts
from apps.accounts.redis_counts import RedisCounts
from tests.inference_workers import redis_url


@pytest.fixture(params=["memory", "redis"])
def counts(request: pytest.FixtureRequest) -> Iterator[Counts]:
    yield MemoryCounts() if request.param == "memory" else RedisCounts(redis_url(11), MemoryCounts())


def bucket(cost: float = 1, *, burst: float = 2, rate_per_s: float = 0.001, name: str = "a") -> Bucket:
    return Bucket(name=name, burst=burst, rate_per_s=rate_per_s, cost=cost)


def test_a_bucket_gives_what_it_holds_and_says_when_there_is_more(counts: Counts) -> None:
    assert [counts.take([bucket()]) for _ in range(2)] == [None, None]
    refusal = counts.take([bucket()])
    assert refusal is not None and refusal.counted == bucket() and 990 < refusal.wait_s <= 1000


def test_a_bucket_refills(counts: Counts) -> None:
    fast = bucket(burst=1, rate_per_s=50)
    assert counts.take([fast]) is None
    threading.Event().wait(0.05)
    assert counts.take([fast]) is None


def test_a_quota_ends_with_the_day(counts: Counts) -> None:
    quota = Quota(name="a", most=2)
    assert [counts.take([quota]) for _ in range(2)] == [None, None]
    refusal = counts.take([quota])
    assert refusal is not None and 0 < refusal.wait_s <= 86_400


def test_all_are_taken_or_none(counts: Counts) -> None:
    plenty, little = bucket(burst=10, name="plenty"), Quota(name="little", most=1)
    assert counts.take([plenty, little]) is None
    for _ in range(20):
        refusal = counts.take([plenty, little])
        assert refusal is not None and refusal.counted is little
    assert [counts.take([plenty]) for _ in range(9)] == [None] * 9


def test_what_costs_nothing_needs_something_to_be_left(counts: Counts) -> None:
    tokens, today = bucket(0, burst=10), Quota(name="today", most=10, cost=0)
    assert counts.take([tokens, today]) is None
    counts.charge([bucket(25, burst=10)])
    refusal = counts.take([tokens, today])
    assert refusal is not None and 14_900 < refusal.wait_s < 15_100  # 15 are owed, at one in a thousand seconds
    counts.charge([Quota(name="today", most=10, cost=10)])
    refusal = counts.take([today])
    assert refusal is not None and refusal.counted is today


def test_a_bucket_can_be_begun_anew(counts: Counts) -> None:
    counts.charge([bucket(5)])
    counts.forget("a")
    assert counts.take([bucket()]) is None


def test_many_threads_take_no_more_than_there_is(counts: Counts) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: counts.take([bucket(burst=20), Quota(name="q", most=15)]), range(100)))
    assert taken.count(None) == 15


def test_a_new_quota_begins_with_what_was_used_before(counts: Counts) -> None:
    assert counts.take([Quota(name="a", most=3, used_before=lambda: 2)]) is None
    assert counts.take([Quota(name="a", most=3, used_before=lambda: 0)]) is not None


def test_what_is_owed_comes_on_top_of_what_was_used_before(counts: Counts) -> None:
    counts.charge([bucket(), Quota(name="a", most=10, cost=4, used_before=lambda: 5)])
    assert counts.take([Quota(name="a", most=10, cost=2)]) is not None
    assert counts.take([Quota(name="a", most=10, cost=1)]) is None


def test_two_processes_share_what_redis_counts() -> None:
    url = redis_url(11)
    one, other = RedisCounts(url, MemoryCounts()), RedisCounts(url, MemoryCounts())
    assert [counts.take([bucket()]) for counts in (one, other)] == [None, None]
    assert one.take([bucket()]) is not None and other.take([bucket()]) is not None


def test_without_its_redis_a_process_counts_for_itself() -> None:
    counts = RedisCounts("redis://127.0.0.1:1/0", MemoryCounts())
    assert [counts.take([bucket()]) is None for _ in range(3)] == [True, True, False]
