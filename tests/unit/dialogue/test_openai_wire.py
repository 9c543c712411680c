"""How completions and errors look to OpenAI's clients."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from apps.dialogue.openai.wire import Completion, Piece, embeddings_as_dict, error_as_dict
from apps.dialogue.streaming import TurnError
from core.errors import Forbidden, InvalidRequest, NotAuthenticated, NotFound, Overloaded, QAError, RateLimited
from core.protocols import Usage

PIECES = [Piece(text="Ten "), Piece(text="days."), Piece(text="", finish_reason="stop", usage=Usage(prompt_tokens=4, completion_tokens=2))]
COMPLETION = Completion(id="c1", model="helper", created_at=7)


def test_the_chunks_joined_are_the_whole() -> None:
    whole = COMPLETION.whole(PIECES)
    assert whole["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Ten days.", "refusal": None}, "logprobs": None, "finish_reason": "stop"}
    ]
    assert whole["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    choices = [chunk["choices"][0] for chunk in COMPLETION.chunks(PIECES, wants_usage=False)]  # type: ignore[index]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "Ten days."  # type: ignore[index,call-overload,union-attr]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]  # type: ignore[index,call-overload]


def test_a_stream_ends_with_the_usage_where_it_is_wanted() -> None:
    *others, last = COMPLETION.chunks(PIECES, wants_usage=True)
    assert (last["choices"], last["usage"]) == ([], {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6})
    assert all(chunk["usage"] is None for chunk in others)


def test_what_a_bot_knows_beyond_its_text_is_in_the_last_chunk() -> None:
    pieces = [Piece(text="x"), Piece(text="", finish_reason="stop", facts={"skill": "faq"})]
    assert COMPLETION.whole(pieces)["wenlu"] == {"skill": "faq"}
    assert [chunk.get("wenlu") for chunk in COMPLETION.chunks(pieces, wants_usage=False)] == [None, None, {"skill": "faq"}]


def test_vectors_as_numbers_and_as_base64_are_the_same() -> None:
    vectors = np.asarray([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32)
    numbers, packed = (embeddings_as_dict(vectors, model="encoder", as_base64=flag, prompt_tokens=3)["data"] for flag in (False, True))
    assert [row["embedding"] for row in numbers] == vectors.tolist()  # type: ignore[index,union-attr,call-overload]
    read = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4").tolist() for row in packed]  # type: ignore[index,union-attr,call-overload]
    assert read == vectors.tolist()


@pytest.mark.parametrize(
    ("error", "kind", "param", "code"),
    [
        (InvalidRequest("x", field="temperature"), "invalid_request_error", "temperature", "invalid_request"),
        (NotFound("x", model="nope"), "invalid_request_error", "model", "model_not_found"),
        (NotFound("x", conversation="1"), "invalid_request_error", None, "not_found"),
        (NotAuthenticated("x"), "authentication_error", None, "not_authenticated"),
        (Forbidden("x"), "permission_error", None, "forbidden"),
        (RateLimited("x", retry_after_s=3), "rate_limit_error", None, "rate_limit_exceeded"),
        (TurnError(RateLimited("x").as_dict()), "rate_limit_error", None, "rate_limit_exceeded"),  # type: ignore[arg-type]
        (Overloaded("x"), "server_error", None, "overloaded"),
        (QAError("x"), "server_error", None, "internal"),
    ],
)
def test_an_error_has_the_type_that_clients_look_for(error: QAError, kind: str, param: str | None, code: str) -> None:
    assert error_as_dict(error) == {"error": {"message": "x", "type": kind, "param": param, "code": code}}
