"""Do errors survive the way between web and worker?"""

from __future__ import annotations

import json

import pytest

from core.errors import DeadlineExceeded, InferenceFailed, Overloaded, QAError
from workers.wire_errors import error_as_dict, error_from_dict


@pytest.mark.parametrize("error", [Overloaded("later", retry_after_s=1.5), DeadlineExceeded("late"), QAError("odd", names=["a"])])
def test_errors_keep_class_message_and_details(error: QAError) -> None:
    arrived = error_from_dict(json.loads(json.dumps(error_as_dict(error)))["error"])
    assert type(arrived) is type(error)
    assert (arrived.message, arrived.details) == (error.message, error.details)


def test_an_error_of_a_later_release_is_a_failed_inference() -> None:
    assert type(error_from_dict({"code": "brand_new", "message": "?", "details": {}})) is InferenceFailed
