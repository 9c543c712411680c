"""Asking over HTTP: answers, server-sent events, what is refused and how, history, votes and explanations."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
import yaml
from rest_framework.test import APIClient

from apps.accounts.keys import create_key
from apps.accounts.permissions import AccessRole, Caller
from apps.dialogue import pump
from apps.dialogue.models import Bot, Feedback, Turn, new_id
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase
from core.errors import Overloaded
from core.types import JSONDict
from qa_project.asgi import application
from tests.skills import ScriptedSkill

pytestmark = pytest.mark.django_db
ASK = "/api/v1/bots/helper/ask"
ANSWER = "".join(f"第{n}条：请在十五个工作日内提交材料。" for n in range(300))


@pytest.fixture(autouse=True)
def rules(bot: Bot, kb: KnowledgeBase, admin_caller: Caller) -> None:
    save_faqs(kb, [parse_row({"id": "rules", "questions": ["报销制度是什么？"], "answer": ANSWER})], admin_caller)


@pytest.fixture
def anybody() -> APIClient:
    return APIClient()


def ask(client: APIClient, question: str = "报销制度是什么", *, bot: str = "helper", **more: object):
    return client.post(f"/api/v1/bots/{bot}/ask", {"question": question, **more}, format="json")


def holder(**limits: object) -> APIClient:
    """A client with a key: `role`, and `kb_id` or `bot_id`."""
    _, text = create_key(name=new_id(), **{"role": AccessRole.ASKER, **limits})  # type: ignore[arg-type]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def test_an_answer_has_all_that_the_contract_says(anybody: APIClient) -> None:
    answer = ask(anybody).json()
    names = ["turn", "conversation", "answer", "answered", "skill", "confidence", "sources", "suggestions", "degraded", "timings_ms"]
    assert sorted(answer) == sorted(names)
    assert (answer["answer"], answer["answered"], answer["skill"], answer["confidence"]) == (ANSWER, True, "faq", 1)
    source = {"kind": "faq", "id": "rules", "title": "报销制度是什么？", "text": ANSWER[:400], "url": None}
    assert answer["sources"][0] | source == answer["sources"][0]
    assert {"total", "encode"} <= set(answer["timings_ms"])


def test_what_nothing_fits_is_not_answered(anybody: APIClient, bot: Bot) -> None:
    answer = ask(anybody, "火星上的一天有多长").json()
    assert (answer["answered"], answer["skill"], answer["sources"], answer["answer"]) == (False, None, [], bot.fallback_zh)


BAD: dict[str, object] = {
    "empty": {"question": ""},
    "blank": {"question": " \n\t "},
    "only invisible": {"question": "\u200b\u202e"},
    "too long": {"question": "长" * 10_001},
    "a number": {"question": 7},
    "a list": {"question": ["a"]},
    "missing": {},
    "body is a list": [],
    "conversation of another type": {"question": "a", "conversation": 7},
}


def assert_error(response, status: int, code: str) -> None:
    """The response is this error in the shape of the contract."""
    assert (response.status_code, response["Content-Type"]) == (status, "application/json"), response.content
    error = response.json()["error"]
    assert set(error) == {"code", "message", "retryable", "details"}
    assert error["code"] == code and error["message"]


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_bad_question_is_refused(anybody: APIClient, body: object) -> None:
    assert_error(anybody.post(ASK, body, format="json"), 400, "invalid_request")


@pytest.mark.parametrize("content", [b'{"question": "', b'{"question": "\xff\xfe"}', b"", b"null", b"\xef\xbb\xbf{"])
def test_what_is_no_json_object_is_refused(anybody: APIClient, content: bytes) -> None:
    assert_error(anybody.generic("POST", ASK, content, content_type="application/json"), 400, "invalid_request")


def test_another_media_type_and_another_method_are_refused(anybody: APIClient) -> None:
    assert_error(
        anybody.generic("POST", ASK, b"question=a", content_type="application/x-www-form-urlencoded"), 415, "unsupported_media_type"
    )
    assert_error(anybody.get(ASK), 405, "method_not_allowed")
    assert_error(anybody.get("/api/v1/nothing-here"), 404, "not_found")


@pytest.mark.parametrize("conversation", ["no-such", "", "0" * 32, "a\x00" * 16])
def test_an_unknown_conversation_is_not_found(anybody: APIClient, conversation: str) -> None:
    assert_error(ask(anybody, conversation=conversation), 404, "not_found")


ODD = [
    "年\x00假\x07有\x1b几天",
    "😀👨‍👩‍👧‍👦🇨🇳",
    "\u202eمرحبا",
    "𠮷𡈽",
    "<script>alert(1)</script>",
    "问" * 10_000,
    "{{7*7}}{% debug %}",
    "' OR 1=1; --",
    "%s %d",
]


@pytest.mark.parametrize("question", ODD, ids=range(len(ODD)))
def test_an_odd_question_is_answered_like_any_other(anybody: APIClient, question: str) -> None:
    assert ask(anybody, question).status_code == 200


def test_an_unknown_bot_and_a_wrong_key_are_refused(anybody: APIClient) -> None:
    assert_error(ask(anybody, bot="no-such-bot"), 404, "not_found")
    for header in ("Bearer wrong", "Basic YTpi", "Bearer"):
        anybody.credentials(HTTP_AUTHORIZATION=header)
        refused = ask(anybody)
        assert_error(refused, 401, "not_authenticated")
        assert refused["WWW-Authenticate"] == "Bearer"


def test_a_private_bot_is_for_those_who_may_ask_in_all_its_bases(bot: Bot, kb: KnowledgeBase, anybody: APIClient) -> None:
    Bot.objects.update(public=False)
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    assert_error(ask(anybody), 401, "not_authenticated")
    assert ask(holder(kb_id=kb.pk)).status_code == 200
    assert_error(ask(holder(kb_id=other.pk)), 404, "not_found")
    bot.kbs.add(other)
    assert_error(ask(holder(kb_id=kb.pk)), 404, "not_found")
    assert ask(holder()).status_code == 200


def test_a_key_for_one_bot_asks_that_bot_and_nothing_else(bot: Bot, kb: KnowledgeBase) -> None:
    Bot.objects.update(public=False)
    private = Bot.objects.create(slug="private", name="Private")
    private.kbs.set([kb])
    client = holder(bot_id=bot.pk, role=AccessRole.ADMIN)
    answer = ask(client).json()
    assert answer["answer"] == ANSWER
    assert_error(ask(client, bot="private"), 404, "not_found")
    assert_error(client.get("/api/v1/kbs/hr/faqs/"), 404, "not_found")
    assert_error(client.get(f"/api/v1/turns/{answer['turn']}/explain"), 403, "forbidden")


def test_a_revoked_key_is_refused(api: APIClient) -> None:
    key, text = create_key(name="gone", role=AccessRole.ASKER)
    key.revoked_at = key.created_at
    key.save()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert_error(ask(api), 401, "not_authenticated")


def test_a_source_that_was_stored_without_an_address_is_shown_with_none(anybody: APIClient) -> None:
    answer = ask(anybody).json()
    turn = Turn.objects.get(pk=answer["turn"])
    assert turn.sources == answer["sources"]
    turn.sources = [{name: value for name, value in source.items() if name != "url"} for source in turn.sources]
    turn.save()
    (told,) = anybody.get(f"/api/v1/conversations/{answer['conversation']}").json()["turns"]
    assert told["sources"] == answer["sources"]


def test_the_api_describes_the_address_of_a_source_as_always_there(anybody: APIClient) -> None:
    schema = yaml.load(anybody.get("/api/schema/").content, Loader=yaml.CSafeLoader)
    source = schema["components"]["schemas"]["SourceSchema"]
    assert "url" in source["required"] and "document" not in source["required"]
    assert source["properties"]["url"]["nullable"] is True


def test_a_history_is_its_owners(api: APIClient, anybody: APIClient) -> None:
    client = holder()
    first = ask(client).json()
    ask(client, "火星有多远", conversation=first["conversation"])
    history = client.get(f"/api/v1/conversations/{first['conversation']}").json()
    assert (history["bot"], history["title"]) == ("helper", "报销制度是什么")
    assert [(turn["question"], turn["answered"]) for turn in history["turns"]] == [("报销制度是什么", True), ("火星有多远", False)]
    for stranger in (anybody, holder(role=AccessRole.REVIEWER)):
        assert_error(stranger.get(f"/api/v1/conversations/{first['conversation']}"), 404, "not_found")
        assert_error(ask(stranger, conversation=first["conversation"]), 404, "not_found")
    assert api.get(f"/api/v1/conversations/{first['conversation']}").status_code == 200


def test_the_last_vote_counts(anybody: APIClient) -> None:
    answer = ask(anybody).json()
    route = f"/api/v1/turns/{answer['turn']}/feedback"
    assert anybody.post(route, {"vote": 1}, format="json").json() == {"turn": answer["turn"], "vote": 1}
    anybody.post(route, {"vote": -1, "comment": "wrong\x00 date"}, format="json")
    assert [(vote.vote, vote.comment) for vote in Feedback.objects.all()] == [(-1, "wrong date")]
    assert anybody.get(f"/api/v1/conversations/{answer['conversation']}").json()["turns"][0]["vote"] == -1


@pytest.mark.parametrize(
    "body",
    [{}, {"vote": 0}, {"vote": "1"}, {"vote": True}, {"vote": []}, {"vote": 1, "comment": 7}, {"vote": 1, "comment": "x" * 4001}, []],
)
def test_a_bad_vote_is_refused(anybody: APIClient, body: object) -> None:
    turn = ask(anybody).json()["turn"]
    assert_error(anybody.post(f"/api/v1/turns/{turn}/feedback", body, format="json"), 400, "invalid_request")
    assert not Feedback.objects.exists()


def test_why_is_for_those_who_may_read(api: APIClient, anybody: APIClient) -> None:
    route = f"/api/v1/turns/{ask(anybody).json()['turn']}/explain"
    why = api.get(route).json()
    assert why["trace"]["faq"]["exact"] is True and "total" in why["timings_ms"]
    for other in (anybody, holder(role=AccessRole.ASKER)):
        assert_error(other.get(route), 403, "forbidden")
    assert_error(api.get("/api/v1/turns/nope/explain"), 404, "not_found")


def test_too_many_questions_wait(anybody: APIClient, configure: Callable) -> None:
    configure(ask_rate_per_minute=2)
    assert [ask(anybody).status_code for _ in range(2)] == [200, 200]
    refused = ask(anybody)
    assert_error(refused, 429, "rate_limited")
    assert refused.json()["error"]["retryable"] is True
    assert 28 <= int(refused["Retry-After"]) <= 30
    assert ask(holder()).status_code == 200  # each caller has a share of their own


def test_a_failed_turn_has_the_status_of_its_error(anybody: APIClient, add_skills: Callable) -> None:
    add_skills(ScriptedSkill([Overloaded("full", retry_after_s=3)], about="full"))
    refused = ask(anybody, "full")
    assert_error(refused, 503, "overloaded")
    assert refused["Retry-After"] == "3"


async def events_of(body: JSONDict) -> tuple[httpx.Response, list[JSONDict]]:
    """The response and the events of a question asked for as server-sent events."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://testserver") as http:
        response = await http.post(ASK, json=body, headers={"Accept": "text/event-stream"})
    return response, [json.loads(line[5:]) for line in response.text.split("\n") if line.startswith("data:")]


@pytest.mark.django_db(transaction=True)
async def test_server_sent_events_tell_the_same_answer() -> None:
    response, events = await events_of({"question": "报销制度是什么"})
    assert response.headers["content-type"] == "text/event-stream"
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "".join(str(event.get("text", "")) for event in events) == ANSWER == events[-1]["answer"]
    assert (events[0]["type"], events[-1]["type"]) == ("turn_started", "turn_finished")
    assert [source["url"] for event in events for source in event.get("sources", [])] == [None, None]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("body", "status"), [({"question": ""}, 400), ({"question": "a", "conversation": "nope"}, 404)])
async def test_what_is_refused_is_no_stream(body: JSONDict, status: int) -> None:
    response, _ = await events_of(body)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"code", "message", "retryable", "details"}


@pytest.mark.django_db(transaction=True)
async def test_a_stream_says_why_its_turn_cannot_start() -> None:
    permits = pump._threads()[1]
    taken = 0
    while permits.acquire(blocking=False):
        taken += 1
    try:
        _, events = await events_of({"question": "报销制度是什么"})
    finally:
        permits.release(taken)
    assert [(event["type"], event["error"]["code"]) for event in events] == [("error", "overloaded")]  # type: ignore[index,call-overload]
