"""Do requests and vectors survive the way between web and worker?"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidRequest
from core.protocols import Chunk, GenerationRequest, Span, Usage
from core.types import FinishReason, Priority, Role
from workers.wire import (
    Call,
    EncodeBody,
    GenerateBody,
    Request,
    RerankBody,
    Scores,
    TagBody,
    Tags,
    Vectors,
    chunk_as_dict,
    chunk_from_dict,
    encode_as_dict,
    encode_from_dict,
    generate_as_dict,
    generate_from_dict,
    pack,
    request_as_dict,
    request_from_dict,
    rerank_as_dict,
    rerank_from_dict,
    scores_as_dict,
    scores_from_dict,
    tag_as_dict,
    tag_from_dict,
    tags_as_dict,
    tags_from_dict,
    unpack,
    vectors_as_dict,
    vectors_from_dict,
)

BODY = EncodeBody(texts=("怎么重置密码？", "a\x00b", "lone \ud800"), text_role=Role.QUERY, wants_tokens=True)


def over_the_wire(value: Any) -> Any:
    """As Celery's JSON serialiser sends it."""
    return json.loads(json.dumps(value))


def test_a_request_arrives_as_it_was_sent() -> None:
    call = Call(id="1", body=encode_as_dict(BODY), deadline_at=time.time() + 5)
    request = Request(role="encoder", priority=Priority.BULK, reply_to="replies:1", calls=(call,))
    arrived = request_from_dict(over_the_wire(request_as_dict(request)))
    assert arrived == request
    assert encode_from_dict(arrived.calls[0].body) == BODY


def test_a_generators_request_arrives_as_it_was_sent_with_the_seconds_that_are_left() -> None:
    request = GenerationRequest(
        messages=(("system", "Be brief."), ("user", "怎么 \ud800?")), max_tokens=9, temperature=0.5, top_p=0.9, seed=7, stop=("END",),
        deadline_s=50.0, priority=Priority.BULK,
    )  # fmt: skip
    body = GenerateBody(text_id="t1", request=request, deadline_at=time.time() + 20)
    arrived = generate_from_dict(over_the_wire(generate_as_dict(body)), Priority.BULK)
    assert 19 < arrived.request.deadline_s <= 20
    assert replace(arrived, request=replace(arrived.request, deadline_s=50.0)) == body


@pytest.mark.parametrize(
    "chunk",
    [Chunk(text="你"), Chunk(text="", finish_reason=FinishReason.CANCELLED, usage=Usage(prompt_tokens=3, completion_tokens=0))],
)
def test_a_piece_of_text_arrives_as_it_was_sent(chunk: Chunk) -> None:
    assert chunk_from_dict(over_the_wire(chunk_as_dict(chunk))) == chunk


def test_a_generators_call_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="generator's call"):
        generate_from_dict({"text_id": "t1", "messages": 3}, Priority.LIVE)


@pytest.mark.parametrize(
    "message",
    [{}, {"role": "encoder"}, {"role": "encoder", "priority": "urgent", "reply_to": "r", "calls": []}]
    + [{"role": "encoder", "priority": "live", "reply_to": "r", "calls": calls} for calls in (None, [1], [{"id": "1", "body": 3}])],
)
def test_what_is_no_request_is_refused_by_name(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="same release"):
        request_from_dict(message)


@pytest.mark.parametrize("change", [{"texts": [1]}, {"texts": None}, {"text_role": "title"}])
def test_what_is_no_encoders_call_is_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="encoder's call"):
        encode_from_dict({**encode_as_dict(BODY), **change})


def test_vectors_arrive_bit_for_bit() -> None:
    rows = np.array([[0.1, -2.5e-38, 1 / 3], [np.float32(1) - np.finfo(np.float32).eps, 0, -1]], np.float32)
    arrived = unpack(over_the_wire(pack(rows)), 3)
    assert arrived.dtype == np.float32 and arrived.tobytes() == rows.tobytes()


def test_vectors_are_little_endian_float32_in_base64() -> None:
    assert pack(np.array([[1.0, -2.0]], np.float32)) == "AACAPwAAAMA="


def test_a_view_of_every_other_column_is_packed_in_order() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]
    np.testing.assert_array_equal(unpack(pack(rows), 2), [[0, 2], [4, 6]])


def test_each_text_gets_its_own_token_vectors_back() -> None:
    tokens = tuple(np.full((count, 2), count, np.float32) for count in (2, 0, 3))
    sent = Vectors(model_id="m", vectors=np.ones((3, 2), np.float32), token_vectors=tokens)
    arrived = vectors_from_dict(over_the_wire(vectors_as_dict(sent)))
    assert arrived.model_id == "m" and arrived.token_vectors is not None
    assert [rows.tolist() for rows in arrived.token_vectors] == [rows.tolist() for rows in tokens]


def test_no_texts_still_tell_model_and_dimension() -> None:
    sent = Vectors(model_id="m", vectors=np.empty((0, 384), np.float32), token_vectors=())
    arrived = vectors_from_dict(over_the_wire(vectors_as_dict(sent)))
    assert arrived.vectors.shape == (0, 384) and arrived.token_vectors == ()


def test_a_rerankers_call_and_scores_arrive() -> None:
    body = RerankBody(query="怎么", passages=("a", ""))
    assert rerank_from_dict(over_the_wire(rerank_as_dict(body))) == body
    arrived = scores_from_dict(over_the_wire(scores_as_dict(Scores(model_id="m", scores=np.array([0.1, -3.0], np.float32)))))
    assert arrived.model_id == "m" and arrived.scores.tolist() == np.array([0.1, -3.0], np.float32).tolist()


def test_a_taggers_call_and_spans_arrive() -> None:
    body = TagBody(texts=("张三", ""))
    assert tag_from_dict(over_the_wire(tag_as_dict(body))) == body
    sent = Tags(model_id="m", spans=((Span(0, 2, "PER", 0.5), Span(3, 4, "LOC", 1.0)), ()))
    assert tags_from_dict(over_the_wire(tags_as_dict(sent))) == sent


@pytest.mark.parametrize("body", [{}, {"query": 1, "passages": []}, {"query": "a", "passages": [1]}, {"query": "a", "passages": None}])
def test_a_rerankers_call_that_cannot_be_read_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="reranker"):
        rerank_from_dict(body)


@pytest.mark.parametrize("body", [{}, {"texts": 3}, {"texts": [None]}])
def test_a_taggers_call_that_cannot_be_read_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="tagger"):
        tag_from_dict(body)
