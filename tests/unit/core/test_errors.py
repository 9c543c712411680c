"""Errors: each class says its code, its status and whether a retry can help."""

from __future__ import annotations

import pytest

from core import errors
from core.errors import NotFound, Overloaded, QAError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QAError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_becomes_the_object_of_the_contract(kind: type[QAError]) -> None:
    shown = kind("What went wrong.", field="question").as_dict()
    assert shown == {"code": kind.code, "message": "What went wrong.", "retryable": kind.retryable, "details": {"field": "question"}}


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes)) > 10


def test_a_retry_is_promised_only_where_waiting_helps() -> None:
    retryable = {kind.code: kind.status for kind in KINDS if kind.retryable}
    assert retryable == {
        "rate_limited": 429,
        "overloaded": 503,
        "interrupted": 503,
        "model_unavailable": 503,
        "search_unavailable": 503,
        "deadline_exceeded": 504,
    }


def test_the_message_is_what_a_log_shows() -> None:
    assert str(NotFound("No such turn.", turn="x")) == "No such turn."


def test_details_belong_to_one_error() -> None:
    one, other = Overloaded("Full.", retry_after_s=1), Overloaded("Full.")
    assert (one.details, other.details) == ({"retry_after_s": 1}, {})
