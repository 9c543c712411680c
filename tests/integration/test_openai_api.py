"""The OpenAI-compatible routes, asked by the official client over a real connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event

import numpy as np
import openai
import pytest

from apps.accounts.keys import create_key
from apps.accounts.permissions import AccessRole, Caller
from apps.dialogue.models import Bot, Turn, new_id
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase
from apps.serving.model_places import places
from core.backends import use_backend
from core.config import get_settings
from core.errors import Overloaded
from core.events import TextDelta
from core.types import FinishReason, Match, Query, Role
from qa_project.threads import ThreadedHandler
from tests.encoders import HashingEncoder
from tests.generators import ScriptedGenerator
from tests.servers import serving
from tests.skills import ScriptedSkill

pytestmark = pytest.mark.django_db(transaction=True)
QUESTION = [{"role": "user", "content": "报销制度是什么？"}]
ANSWER = "".join(f"第{n}条：请在十五个工作日内提交材料。" for n in range(60))


@pytest.fixture(autouse=True)
def rules(bot: Bot, kb: KnowledgeBase, admin_caller: Caller) -> None:
    save_faqs(kb, [parse_row({"id": "rules", "questions": ["报销制度是什么？"], "answer": ANSWER})], admin_caller)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ThreadedHandler()) as url:
        yield f"{url}/v1"


@pytest.fixture
def client_of(address: str) -> Callable[..., openai.OpenAI]:
    """Makes a client whose key has a role everywhere, or is for one bot or knowledge base."""

    def make(**limits: object) -> openai.OpenAI:
        _, key = create_key(name=new_id(), **{"role": AccessRole.ASKER, **limits})  # type: ignore[arg-type]
        return openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=20)

    return make


@pytest.fixture
def client(client_of: Callable[..., openai.OpenAI]) -> openai.OpenAI:
    return client_of()


@pytest.fixture
def generate() -> Callable[..., ScriptedGenerator]:
    """Puts a scripted generator in place: `generate("Hello ", "world")`."""

    def make(*script: object, **more: object) -> ScriptedGenerator:
        generator = ScriptedGenerator(*script, **more)  # type: ignore[arg-type]
        use_backend(get_settings().generator_backend, generator)
        return generator

    return make


def text_of(stream: openai.Stream) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


# Models


def test_bots_and_roles_are_listed_for_who_may_use_them(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["helper", "generator", "encoder"]
    assert client.models.retrieve("helper").owned_by == "wenlu"


def test_a_key_for_one_bot_sees_that_bot_alone(client_of: Callable, bot: Bot) -> None:
    Bot.objects.create(slug="private", name="Private")
    client = client_of(bot_id=bot.pk, role=AccessRole.ADMIN)
    assert [model.id for model in client.models.list()] == ["helper"]
    for hidden in ("private", "encoder", "generator", "nope"):
        with pytest.raises(openai.NotFoundError) as refused:
            client.models.retrieve(hidden)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_a_key_for_a_knowledge_base_has_no_bare_models(client_of: Callable, kb: KnowledgeBase) -> None:
    assert [model.id for model in client_of(kb_id=kb.pk).models.list()] == ["helper"]


def test_without_a_generator_none_is_listed_and_asking_says_so(client: openai.OpenAI, configure: Callable) -> None:
    configure(generator="")
    assert "generator" not in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError, match="No generator is configured"):
        client.chat.completions.create(model="generator", messages=QUESTION)


# Bots


def test_a_bot_answers_with_usage_and_sources(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="helper", messages=QUESTION)
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == (ANSWER, "stop")
    assert completion.usage and completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 500
    facts = completion.model_extra["wenlu"]  # type: ignore[index]
    assert (facts["turn"], facts["skill"], facts["sources"][0]["id"], facts["sources"][0]["url"]) == (completion.id, "faq", "rules", None)
    assert Turn.objects.get(pk=completion.id).answer == ANSWER


def test_streamed_it_is_the_same_text(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="helper", messages=QUESTION, stream=True, stream_options={"include_usage": True}))
    assert text_of(iter(chunks)) == ANSWER and len(chunks) > 10  # type: ignore[arg-type]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens > 500
    assert chunks[-2].model_extra["wenlu"]["sources"][0]["id"] == "rules"  # type: ignore[index]


def test_earlier_messages_are_the_history_of_the_question(client: openai.OpenAI, add_skills: Callable) -> None:
    asked: list[Query] = []

    class Listening(ScriptedSkill):
        def match(self, query: Query) -> Match | None:
            asked.append(query)
            return super().match(query)

    add_skills(Listening([TextDelta(text="yes")]))
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    client.chat.completions.create(model="helper", messages=[*messages, {"role": "user", "content": "three"}])  # type: ignore[list-item]
    assert (asked[0].text, asked[0].history) == ("three", ("one", "two"))


def test_a_conversation_can_go_on(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="helper", messages=QUESTION).model_extra["wenlu"]  # type: ignore[index]
    more = {"conversation": first["conversation"]}
    second = client.chat.completions.create(model="helper", messages=QUESTION, extra_body=more).model_extra["wenlu"]  # type: ignore[index]
    assert second["conversation"] == first["conversation"]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="helper", messages=QUESTION, extra_body={"conversation": new_id()})


def test_a_private_bot_is_not_there_for_strangers(client_of: Callable, address: str, kb: KnowledgeBase) -> None:
    Bot.objects.update(public=False)
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    assert client_of(kb_id=kb.pk).chat.completions.create(model="helper", messages=QUESTION).choices[0].message.content == ANSWER
    with pytest.raises(openai.NotFoundError):
        client_of(kb_id=other.pk).chat.completions.create(model="helper", messages=QUESTION)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=address, api_key="wrong", max_retries=0).chat.completions.create(model="helper", messages=QUESTION)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_bot_that_fails_has_a_status(client: openai.OpenAI, add_skills: Callable, streamed: bool) -> None:
    add_skills(ScriptedSkill([Overloaded("full", retry_after_s=3)], about="full"))
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="helper", messages=[{"role": "user", "content": "full"}], stream=streamed)
    assert (failed.value.status_code, failed.value.response.headers["retry-after"]) == (503, "3")
    assert failed.value.body == {"message": "full", "type": "server_error", "param": None, "code": "overloaded"}


def test_who_leaves_stops_the_turn(client: openai.OpenAI, add_skills: Callable) -> None:
    gate, ended = Event(), Event()

    class Waiting(ScriptedSkill):
        def answer(self, query: Query, match: Match, cancel: Event) -> Iterator[TextDelta]:
            yield TextDelta(text="one ")
            assert cancel.wait(10), "nobody stopped the turn"
            ended.set()
            yield TextDelta(text="two")

    add_skills(Waiting([], about="wait"))
    stream = client.chat.completions.create(model="helper", messages=[{"role": "user", "content": "wait"}], stream=True)
    next(chunk for chunk in stream if chunk.choices[0].delta.content)
    stream.close()
    assert ended.wait(5)
    for _ in range(500):
        if (turn := Turn.objects.latest("created_at")).state != "running":
            break
        gate.wait(0.01)
    assert (turn.state, turn.answer) == ("stopped", "one ")


# Generators


@pytest.mark.parametrize("streamed", [False, True])
def test_a_generator_writes(client: openai.OpenAI, generate: Callable, streamed: bool) -> None:
    generator = generate("The ", "sea ", "is ", "wide.", finish_reason=FinishReason.LENGTH)
    asked = {"max_tokens": 4, "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 7}
    messages = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Tell me of the sea."}]
    got = client.chat.completions.create(model="generator", messages=messages, stream=streamed, **asked)  # type: ignore[call-overload]
    text = text_of(got) if streamed else got.choices[0].message.content
    assert text == "The sea is wide."
    (request,) = generator.requests
    assert request.messages == (("system", "Be short."), ("user", "Tell me of the sea."))
    assert (request.max_tokens, request.temperature, request.top_p, request.stop, request.seed) == (4, 0.5, 0.9, ("END",), 7)
    if not streamed:
        assert (got.choices[0].finish_reason, got.usage.prompt_tokens, got.usage.completion_tokens) == ("length", 2, 4)


def test_tokens_are_estimated_where_the_generator_counts_none(client: openai.OpenAI, generate: Callable) -> None:
    generate("Ten days of ", "annual leave.", counts=False)
    usage = client.chat.completions.create(model="generator", messages=QUESTION).usage
    assert usage and (usage.prompt_tokens, usage.completion_tokens) == (7, 7)


def test_who_leaves_in_mid_stream_frees_the_generator(client: openai.OpenAI, generate: Callable) -> None:
    generator = generate("one ", Event(), "two")
    stream = client.chat.completions.create(model="generator", messages=QUESTION, stream=True)
    assert next(chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content) == "one "
    stream.close()
    assert generator.cancelled.wait(5)


@pytest.mark.parametrize("streamed", [False, True])
def test_who_gives_up_before_the_first_word_frees_the_generator(client: openai.OpenAI, generate: Callable, streamed: bool) -> None:
    generator = generate(Event(), "late")
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(model="generator", messages=QUESTION, stream=streamed)
    assert generator.cancelled.wait(5)


def test_an_error_in_mid_stream_is_an_error_of_the_stream(client: openai.OpenAI, generate: Callable) -> None:
    generate("one ", Overloaded("full"))
    stream = client.chat.completions.create(model="generator", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError, match="full"):
        text_of(stream)


def test_a_full_generator_says_when_to_come_back(client: openai.OpenAI, generate: Callable) -> None:
    generate(Overloaded("full", retry_after_s=2))
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="generator", messages=QUESTION, stream=True)
    assert refused.value.response.headers["retry-after"] == "2"


def test_models_take_half_of_the_threads_and_no_more(client: openai.OpenAI, generate: Callable) -> None:
    generate("free again")
    with ExitStack() as taken:
        while places().acquire(blocking=False):
            taken.callback(places().release)
        for ask in (
            lambda: client.chat.completions.create(model="generator", messages=QUESTION),
            lambda: client.embeddings.create(model="encoder", input="a"),
        ):
            with pytest.raises(openai.InternalServerError) as refused:
                ask()
            assert (refused.value.status_code, refused.value.code) == (503, "overloaded")
    assert client.chat.completions.create(model="generator", messages=QUESTION).choices[0].message.content == "free again"


def test_what_only_bots_or_only_generators_have_is_refused(client: openai.OpenAI, generate: Callable) -> None:
    generate("never said")
    for model, more, field in (("generator", {"conversation": "x"}, "conversation"), ("helper", {"stop": "x"}, "stop")):
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model=model, messages=QUESTION, extra_body=more)
        assert refused.value.param == field


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "nope"}, 404, "model"),
        ({"model": "encoder"}, 400, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "messages"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"n": 2}, 400, "n"),
    ],
)
def test_a_bad_request_names_the_parameter(client: openai.OpenAI, body: dict[str, object], status: int, param: str) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.post("/chat/completions", body={"model": "helper", "messages": QUESTION, **body}, cast_to=object)
    assert (refused.value.status_code, refused.value.param) == (status, param)


def test_an_unknown_address_is_an_error_of_openais_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.get("/assistants", cast_to=object)
    assert refused.value.type == "invalid_request_error"


# Embeddings


def test_embeddings_are_the_encoders_vectors(client: openai.OpenAI, encoder: HashingEncoder) -> None:
    expected = encoder.encode(["年假", "报销"], Role.QUERY)
    by_default = client.embeddings.create(model="encoder", input=["年假", "报销"])  # the client asks for base64 and unpacks it
    as_numbers = client.embeddings.create(model="encoder", input=["年假", "报销"], encoding_format="float")
    for got in (by_default, as_numbers):
        np.testing.assert_allclose([row.embedding for row in got.data], expected, rtol=1e-6)
        assert got.usage.total_tokens == got.usage.prompt_tokens > 0


def test_bad_embeddings_are_refused(client: openai.OpenAI, client_of: Callable, bot: Bot) -> None:
    for body in ({"input": [1, 2]}, {"model": "helper"}, {"dimensions": 7}, {"input": ""}):
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(**{"model": "encoder", "input": "a", **body})  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError):
        client_of(bot_id=bot.pk).embeddings.create(model="encoder", input="a")
