"""What comes in the body of an API request: whatever a stranger sends, the answer is one of the documented errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.dialogue.models import Bot
from apps.retrieval.models import KnowledgeBase
from qa_project.parsers import MAX_JSON_BYTES
from qa_project.threads import ThreadedHandler


def post(bot: Bot, body: str) -> Any:
    return APIClient().generic("POST", f"/api/v1/bots/{bot.slug}/ask", body, content_type="application/json")


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"question": "hi", "conversation": "' + "\\ud800" * 32 + '"}',
        '{"question": NaN}',
        '{"question": ' + "9" * 5000 + "}",
        "no json",
        "[]",
    ],
    ids=["deep list", "deep object", "lone surrogates", "NaN", "long number", "text", "list"],
)
def test_what_is_no_usable_json_is_an_invalid_request(bot: Bot, body: str) -> None:
    response = post(bot, body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("body", ['{"urls":' + "[" * 100_000, '{"urls": ["http://\\ud800/"]}', '{"urls": [NaN]}', "[]", ""])
def test_a_route_that_takes_files_too_reads_json_no_less_carefully(kb: KnowledgeBase, client_with_role: Any, body: str) -> None:
    response = client_with_role("editor").generic("POST", "/api/v1/kbs/hr/ingestions/", body, content_type="application/json")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_a_body_larger_than_any_faq_is_refused_before_it_is_parsed(bot: Bot) -> None:
    response = post(bot, '{"question": "' + "x" * MAX_JSON_BYTES + '"}')
    assert (response.status_code, response.json()["error"]["code"]) == (413, "payload_too_large")


@pytest.mark.django_db(transaction=True)
def test_a_chunked_body_is_read_like_any_other(bot: Bot) -> None:
    """Clients that stream send no Content-Length."""
    pieces = [b'{"question": ', b'""}']
    messages = [{"type": "http.request", "body": piece, "more_body": piece is not pieces[-1]} for piece in pieces]
    scope = {
        "type": "http", "method": "POST", "path": f"/api/v1/bots/{bot.slug}/ask", "query_string": b"", "http_version": "1.1",
        "headers": [(b"host", b"testserver"), (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")],
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(ThreadedHandler()(scope, receive, send))
    assert json.loads(sent[1]["body"])["error"]["message"] == "The question is empty."
