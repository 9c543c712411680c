"""When is a server that does not answer left alone?"""

from __future__ import annotations

from apps.retrieval.indexes.breaker import CircuitBreaker


def test_failures_in_a_row_keep_everybody_away_but_a_success_between_does_not() -> None:
    breaker = CircuitBreaker(failures=2, pause_s=60)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.admits()
    breaker.failed()
    assert not breaker.admits()


def test_after_the_pause_one_caller_tries_and_its_success_lets_everybody_in() -> None:
    breaker = CircuitBreaker(failures=1, pause_s=60)
    breaker.failed()
    breaker._next_try = 0.0  # the pause is over
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.succeeded()
    assert [breaker.admits(), breaker.admits()] == [True, True]
