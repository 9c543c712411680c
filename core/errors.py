"""What can go wrong, in one hierarchy: each class carries its code, its HTTP status and whether a retry can help.

Three places turn these into something a person sees: `qa_project.errors` (HTTP), `apps.dialogue.turns` (turn events)
and `workers.tasks` (Celery). Everything else just raises.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

Details: TypeAlias = "dict[str, str | int | float | bool | None | list[str]]"


class QAError(Exception):
    """Base of every expected failure. `message` says what, where and what to do; `details` is for machines."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: str | int | float | bool | None | list[str]) -> None:
        super().__init__(message)
        self.message = message
        self.details: Details = details

    def as_dict(self) -> dict[str, object]:
        """The `error` object of the HTTP and event contracts."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable, "details": self.details}


class InvalidRequest(QAError):
    """The caller sent something that cannot be used; `details.field` names it."""

    code, status = "invalid_request", 400


class PayloadTooLarge(QAError):
    """What was sent is larger than could ever be taken; trying again does not help."""

    code, status = "payload_too_large", 413


class NotAuthenticated(QAError):
    """No key or session, or one that is unknown, revoked or expired."""

    code, status = "not_authenticated", 401


class Forbidden(QAError):
    """Known caller, missing permission."""

    code, status = "forbidden", 403


class NotFound(QAError):
    """Nothing of that name within the caller's scope (what lies outside a scope looks like this too)."""

    code, status = "not_found", 404


class RateLimited(QAError):
    """Too many requests; `details.retry_after_s` says when to try again."""

    code, status, retryable = "rate_limited", 429, True


class Overloaded(QAError):
    """A bounded queue is full; `details.retry_after_s` says when to try again."""

    code, status, retryable = "overloaded", 503, True


class ModelUnavailable(QAError):
    """No process that serves this model is alive."""

    code, status, retryable = "model_unavailable", 503, True


class InferenceFailed(QAError):
    """The model raised on this very input."""

    code, status = "inference_failed", 500


class DeadlineExceeded(QAError):
    """The work was not done within its deadline and was dropped."""

    code, status, retryable = "deadline_exceeded", 504, True


class Interrupted(QAError):
    """The process that did the work ended before it was done."""

    code, status, retryable = "interrupted", 503, True


class Cancelled(QAError):
    """The person asked to stop before the work was done."""

    code, status = "cancelled", 499


class SearchUnavailable(QAError):
    """An index cannot be reached, or (`details.reason` is `BEHIND`) has not followed the database far enough yet."""

    code, status, retryable = "search_unavailable", 503, True
    BEHIND: ClassVar[str] = "behind"


class IndexMismatch(QAError):
    """An index was built by another encoder, or is damaged; `details.repair` names the command that mends it."""

    code, status = "index_mismatch", 500


class ConfigurationError(QAError):
    """The settings contradict each other or the machine; raised at start only."""

    code, status = "configuration", 500
