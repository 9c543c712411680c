"""What a client of the OpenAI-compatible routes may ask for, and what is refused by name."""

from __future__ import annotations

import pytest

from apps.dialogue.openai.parameters import parse_chat, parse_embeddings
from core.errors import InvalidRequest
from core.types import JSONDict, JSONValue, Role

HELLO: JSONDict = {"model": "helper", "messages": [{"role": "user", "content": "hello"}]}


def refused_field(data: JSONDict) -> object:
    with pytest.raises(InvalidRequest) as refused:
        parse_chat(data)
    return refused.value.details["field"]


def test_what_is_left_out_has_the_defaults_of_openai() -> None:
    request = parse_chat(HELLO)
    assert request.messages == (("user", "hello"),)
    assert (request.temperature, request.top_p, request.stop, request.seed, request.streamed) == (1.0, 1.0, (), None, False)


def test_parts_of_a_message_are_joined_and_an_empty_assistant_is_fine() -> None:
    parts: JSONValue = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages: JSONValue = [{"role": "developer", "content": "be kind"}, {"role": "assistant"}, {"role": "user", "content": parts}]
    assert parse_chat({**HELLO, "messages": messages}).messages == (("developer", "be kind"), ("assistant", ""), ("user", "one\ntwo"))


def test_the_newer_name_of_the_limit_goes_first() -> None:
    assert parse_chat({**HELLO, "max_tokens": 5, "max_completion_tokens": 7}).max_tokens == 7
    assert parse_chat({**HELLO, "max_tokens": 5}).max_tokens == 5


def test_one_stop_or_several() -> None:
    assert parse_chat({**HELLO, "stop": "END"}).stop == ("END",)
    assert parse_chat({**HELLO, "stop": ["a", "b"]}).stop == ("a", "b")


CHANGES_MEANING: dict[str, JSONValue] = {
    "n": 2,
    "tools": [{"type": "function"}],
    "tool_choice": "required",
    "functions": [{}],
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"50256": -100},
    "presence_penalty": 0.5,
    "frequency_penalty": -1,
    "response_format": {"type": "json_object"},
    "modalities": ["audio"],
    "audio": {"voice": "x"},
    "temprature": 0.1,
}


@pytest.mark.parametrize(("name", "value"), CHANGES_MEANING.items(), ids=CHANGES_MEANING)
def test_what_would_change_the_answer_is_refused_by_name(name: str, value: JSONValue) -> None:
    assert refused_field({**HELLO, name: value}) == name


def test_neutral_values_and_harmless_parameters_are_taken() -> None:
    neutral: JSONDict = {
        "n": 1,
        "tools": [],
        "tool_choice": "auto",
        "logprobs": False,
        "presence_penalty": 0,
        "response_format": {"type": "text"},
    }
    harmless: JSONDict = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "parallel_tool_calls": True}
    assert parse_chat({**HELLO, **neutral, **harmless, "top_logprobs": None}) == parse_chat(HELLO)


BAD: dict[str, tuple[JSONDict, str]] = {
    "no model": ({"messages": HELLO["messages"]}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "messages of another type": ({"messages": "hello"}, "messages"),
    "too many messages": ({"messages": [{"role": "user", "content": "a"}] * 1001}, "messages"),
    "a message that is text": ({"messages": ["hello"]}, "messages[0]"),
    "a role that is not known": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "an image": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
    "a tool call": ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0]"),
    "hot": ({"temperature": "hot"}, "temperature"),
    "too hot": ({"temperature": 2.1}, "temperature"),
    "true is no number": ({"top_p": True}, "top_p"),
    "no tokens": ({"max_tokens": 0}, "max_tokens"),
    "half a token": ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
    "an empty stop": ({"stop": ""}, "stop"),
    "five stops": ({"stop": ["a"] * 5}, "stop"),
    "stream is text": ({"stream": "yes"}, "stream"),
    "options without a stream": ({"stream_options": {"include_usage": True}}, "stream_options"),
    "unknown option": ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
    "seed": ({"seed": 1.0}, "seed"),
}


@pytest.mark.parametrize(("changes", "field"), BAD.values(), ids=BAD)
def test_a_bad_parameter_is_named(changes: JSONDict, field: str) -> None:
    data = changes if field == "model" else {**HELLO, **changes}
    assert refused_field(data) == field


def test_texts_to_embed_are_one_or_several() -> None:
    one = parse_embeddings({"model": "encoder", "input": "hello"})
    assert (one.texts, one.base64, one.role) == (("hello",), False, Role.QUERY)
    two = parse_embeddings({"model": "encoder", "input": ["a", "b"], "encoding_format": "base64", "input_type": "passage"})
    assert (two.texts, two.base64, two.role) == (("a", "b"), True, Role.PASSAGE)


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]], [1.5]])
def test_token_ids_are_refused_with_a_word_about_texts(tokens: JSONValue) -> None:
    with pytest.raises(InvalidRequest, match=r"text"):
        parse_embeddings({"model": "encoder", "input": tokens})


@pytest.mark.parametrize("changes", [{"input": []}, {"input": ["a", " "]}, {"input": ["a"] * 2049}, {"encoding_format": "hex"}, {"n": 2}])
def test_bad_embeddings_are_refused(changes: JSONDict) -> None:
    with pytest.raises(InvalidRequest):
        parse_embeddings({"model": "encoder", "input": "a", **changes})
