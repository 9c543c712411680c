"""How failures look over HTTP: `{"error": {"code", "message", "retryable", "details"}}` with the right status.

Below /v1/ they look as OpenAI's clients expect them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from apps.dialogue.openai.wire import error_as_dict
from core.errors import Forbidden, InvalidRequest, NotAuthenticated, NotFound, PayloadTooLarge, QAError, RateLimited

log = logging.getLogger(__name__)

_OPENAI = "/v1/"


class MethodNotAllowed(QAError):
    """The route exists, but not for this method."""

    code, status = "method_not_allowed", 405


class UnsupportedMediaType(QAError):
    """The body is of a type that the route does not read."""

    code, status = "unsupported_media_type", 415


def as_qa_error(error: Exception) -> QAError | None:
    """What a framework's exception is in our words; None for one that nobody expected."""
    match error:
        case QAError():
            return error
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return NotAuthenticated(str(error.detail))
        case exceptions.PermissionDenied():
            return Forbidden(str(error.detail))
        case PermissionDenied():
            return Forbidden("Not allowed.")
        case exceptions.NotFound() | Http404():
            return NotFound("Nothing is at this address.")
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed(str(error.detail))
        case exceptions.UnsupportedMediaType():
            return UnsupportedMediaType(f"{error.detail} Send application/json.")
        case exceptions.Throttled():
            return RateLimited(str(error.detail), retry_after_s=error.wait)
        case exceptions.APIException() if error.status_code < 500:
            return InvalidRequest(str(error.detail))
        case RequestDataTooBig():
            return PayloadTooLarge("The request body is over the limit (QA_UPLOAD_MAX_MB).")
        case SuspiciousOperation():
            return InvalidRequest(str(error) or "The request cannot be used.")
    return None


def as_response(error: Exception, context: Mapping[str, object]) -> Response | None:
    """REST framework's exception handler."""
    known = as_qa_error(error)
    if known is None:
        return None
    request = context.get("request")
    return Response(error_body(known, getattr(request, "path", "")), status=known.status, headers=_headers(known))


def error_body(error: QAError, path: str) -> dict[str, object]:
    """The body of a failed request to this address."""
    return {**error_as_dict(error)} if path.startswith(_OPENAI) else {"error": error.as_dict()}


def _headers(error: QAError) -> dict[str, str]:
    headers = {}
    wait = error.details.get("retry_after_s")
    if isinstance(wait, (int, float)):
        headers["Retry-After"] = str(max(1, round(wait)))
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _speaks_json(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", _OPENAI))


def _as_json(error: QAError, request: HttpRequest) -> JsonResponse:
    return JsonResponse(error_body(error, request.path), status=error.status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404 for addresses that no route knows: JSON below /api/ and /v1/, a page elsewhere."""
    if _speaks_json(request):
        return _as_json(NotFound(_("Nothing is at this address.")), request)
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400 for requests that Django itself refuses."""
    if _speaks_json(request):
        return _as_json(as_qa_error(exception) or InvalidRequest("The request cannot be used."), request)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500 for what nobody expected; the log has the trace."""
    if _speaks_json(request):
        return _as_json(QAError("Something went wrong on our side; it has been logged."), request)
    return defaults.server_error(request)
