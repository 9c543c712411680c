"""Limits of keys and bots, and what the panel tells of usage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.histograms import bucket_of, merge_times, percentile_ms
from apps.accounts.keys import create_key
from apps.accounts.limits import Account, charge_use, forget_limits, take_request
from apps.accounts.models import ApiKey, AuditEntry, Limit, UsageDay, User
from apps.accounts.permissions import AccessRole, Caller
from apps.accounts.rates import forget_counts
from apps.accounts.usage import flush_usage
from apps.dialogue.models import Bot
from core.backends import use_backend
from core.config import get_settings
from core.errors import RateLimited
from core.protocols import Usage
from tests.generators import ScriptedGenerator

pytestmark = pytest.mark.django_db
CHAT = "/v1/chat/completions"
TEN = Usage(prompt_tokens=4, completion_tokens=6)


@pytest.fixture
def key() -> tuple[ApiKey, APIClient]:
    """A key that may ask everywhere, and a client that carries it."""
    key, text = create_key(name="program", role=AccessRole.ASKER)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return key, client


@pytest.fixture(autouse=True)
def generator() -> ScriptedGenerator:
    generator = ScriptedGenerator("one ", "two")
    use_backend(get_settings().generator_backend, generator)
    return generator


def chat(client: APIClient, model: str = "generator"):
    return client.post(CHAT, {"model": model, "messages": [{"role": "user", "content": "hello"}]}, format="json")


def account(key: ApiKey, bot: Bot | None = None) -> Account:
    return Account(caller=Caller(name=f"key:{key.pk}"), model=bot.slug if bot else "generator", bot_id=bot.pk if bot else None)


def refusal(account: Account) -> dict[str, object]:
    with pytest.raises(RateLimited) as refused:
        take_request(account)
    return dict(refused.value.details)


def test_a_key_has_so_many_requests_a_minute(key: tuple[ApiKey, APIClient]) -> None:
    Limit.objects.create(key=key[0], requests_per_minute=2)
    assert [chat(key[1]).status_code for _ in range(2)] == [200, 200]
    refused = chat(key[1])
    assert refused.status_code == 429 and 1 <= int(refused["Retry-After"]) <= 30
    assert refused.json()["error"] | {"type": "rate_limit_error", "code": "rate_limit_exceeded"} == refused.json()["error"]


def test_a_key_has_so_many_requests_a_day_on_all_routes(key: tuple[ApiKey, APIClient], bot: Bot) -> None:
    Limit.objects.create(key=key[0], requests_per_day=3)
    asked = [
        chat(key[1]),
        key[1].post("/v1/embeddings", {"model": "encoder", "input": "a"}, format="json"),
        key[1].post("/api/v1/bots/helper/ask", {"question": "a"}, format="json"),
        chat(key[1], "helper"),
    ]
    assert [response.status_code for response in asked] == [200, 200, 200, 429]


def test_what_tokens_cost_is_known_afterwards(key: tuple[ApiKey, APIClient]) -> None:
    Limit.objects.create(key=key[0], tokens_per_minute=5, tokens_per_day=100)
    take_request(account(key[0]))
    charge_use(account(key[0]), TEN, seconds=0.1)
    details = refusal(account(key[0]))
    assert (details["limit"], details["of"]) == ("tokens_per_minute", "key")
    assert 55 < float(str(details["retry_after_s"])) <= 61  # five are owed, at five a minute


def test_a_bot_has_a_limit_for_all_who_ask_it(key: tuple[ApiKey, APIClient], bot: Bot) -> None:
    Limit.objects.create(bot=bot, tokens_per_day=10)
    other, _ = create_key(name="other", role=AccessRole.ASKER)
    charge_use(account(key[0], bot), TEN, seconds=0.1)
    refused = refusal(account(other, bot))
    assert (refused["limit"], refused["of"]) == ("tokens_per_day", "bot")
    take_request(account(other))


def test_without_limits_nothing_is_refused(key: tuple[ApiKey, APIClient], bot: Bot) -> None:
    for _ in range(100):
        take_request(account(key[0], bot))


def test_a_day_goes_on_after_a_restart_of_the_only_process(key: tuple[ApiKey, APIClient], configure: Callable) -> None:
    configure(redis_url="")
    Limit.objects.create(key=key[0], tokens_per_day=10)
    charge_use(account(key[0]), TEN, seconds=0.1)
    flush_usage()
    forget_counts()
    forget_limits()
    assert refusal(account(key[0]))["limit"] == "tokens_per_day"


# Usage


def test_usage_adds_up_by_day_caller_and_model(key: tuple[ApiKey, APIClient], bot: Bot) -> None:
    for _ in range(2):
        chat(key[1])
        assert flush_usage() == 1
    key[1].post("/api/v1/bots/helper/ask", {"question": "hello"}, format="json")
    flush_usage()
    generated, asked = UsageDay.objects.order_by("-requests")
    assert (generated.caller, generated.model, generated.is_bot, generated.requests) == (f"key:{key[0].pk}", "generator", False, 2)
    assert (generated.prompt_tokens, generated.completion_tokens, sum(generated.times.values())) == (2, 4, 2)
    assert (asked.model, asked.is_bot, asked.requests) == ("helper", True, 1) and asked.completion_tokens > 5


def test_failures_and_refusals_are_counted(key: tuple[ApiKey, APIClient], generator: ScriptedGenerator) -> None:
    Limit.objects.create(key=key[0], requests_per_minute=1)
    generator.script = (RateLimited("full"),)
    assert [chat(key[1]).status_code for _ in range(2)] == [429, 429]
    flush_usage()
    row = UsageDay.objects.get()
    assert (row.requests, row.failed, row.refused) == (1, 1, 1)


def test_percentiles_are_told_to_within_a_fifth() -> None:
    times = [float(n) for n in range(1, 1001)]
    histogram = merge_times({str(bucket_of(ms)): 1} for ms in times)
    for share in (0.5, 0.95):
        told = percentile_ms(histogram, share)
        assert told is not None and share * 1000 <= told <= share * 1000 * 1.2
    assert percentile_ms({}, 0.5) is None and percentile_ms({"0": 1}, 0.95) == 1.0


# The panel


@pytest.fixture
def panel() -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_the_usage_page_shows_who_asked_what(panel: Client, key: tuple[ApiKey, APIClient], bot: Bot) -> None:
    today = timezone.localdate()
    for back, count in ((0, 7), (20, 5), (40, 3)):
        UsageDay.objects.create(
            day=today - timedelta(days=back), caller=f"key:{key[0].pk}", model="helper", requests=count, times={"20": count}
        )
    page = panel.get("/admin/accounts/usageday/")
    assert [(row.name, row.requests, row.p95_ms) for row in page.context["totals"]] == [("helper", 7, 32.0)]
    page = panel.get("/admin/accounts/usageday/?by=caller&days=30&show=tokens")
    assert [(row.name, row.requests) for row in page.context["totals"]] == [("program", 12)]
    assert panel.get("/admin/accounts/usageday/?by=x&days=y&show=z").context["total"].requests == 7


def test_an_installation_without_usage_has_a_page_too(panel: Client) -> None:
    assert "Nobody has asked" in panel.get("/admin/accounts/usageday/").content.decode()


def test_limits_are_set_in_the_panel(panel: Client, key: tuple[ApiKey, APIClient], bot: Bot) -> None:
    route = "/admin/accounts/limit/add/"
    assert panel.post(route, {"key": key[0].pk, "bot": "", "requests_per_minute": 5}).status_code == 302
    assert Limit.objects.get().requests_per_minute == 5
    assert AuditEntry.objects.latest("at").action == "set_limit"
    assert "one of them" in panel.post(route, {"key": "", "bot": "", "tokens_per_day": 5}).content.decode()
    assert "at least one" in panel.post(route, {"key": "", "bot": bot.pk}).content.decode()
    changed = panel.post(f"/admin/accounts/limit/{Limit.objects.get().pk}/change/", {"tokens_per_day": 9})
    assert changed.status_code == 302
    assert (Limit.objects.get().requests_per_minute, Limit.objects.get().tokens_per_day) == (None, 9)


@pytest.mark.parametrize("page", ["usageday", "limit"])
def test_usage_and_limits_are_for_administrators(page: str, configure: Callable) -> None:
    client = Client()
    client.force_login(User.objects.create_user("editor", is_staff=True, role="editor"))
    assert client.get(f"/admin/accounts/{page}/").status_code == 403
