"""May this caller ask once more? Limits of a key and of a bot, in requests and tokens, a minute and a day.

Requests are counted before they are answered. What tokens an answer costs is known afterwards: a request goes on while
anything is left, and what it costs beyond that must refill first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from django.db.models import F, Q, Sum
from django.utils import timezone

from apps.accounts.counts import Bucket, Counted, Quota
from apps.accounts.models import Limit, UsageDay
from apps.accounts.permissions import Caller
from apps.accounts.rates import counts
from apps.accounts.usage import note_refusal, note_use
from core.config import get_settings
from core.errors import RateLimited
from core.protocols import Usage
from core.remembered import Remembered

REQUESTS, TOKENS = "requests", "tokens"


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Who asks whom: what is counted, limited and shown is by these. `model` is a bot's slug, or the name of a model."""

    caller: Caller
    model: str
    bot_id: int | None = None
    address: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What one key or bot may use; 0 sets no limit."""

    requests_per_minute: int = 0
    requests_per_day: int = 0
    tokens_per_minute: int = 0
    tokens_per_day: int = 0


def take_request(account: Account) -> None:
    """Counts one request. Raises RateLimited with what is used up, whose it is, and `retry_after_s`."""
    wanted = [*_counted(account, REQUESTS, cost=1), *_counted(account, TOKENS, cost=0)]
    refusal = counts().take(wanted) if wanted else None
    if refusal is not None:
        note_refusal(account.caller.name, account.model, is_bot=account.bot_id is not None)
        whose, measure = refusal.counted.name.split()[:2]
        span = "minute" if isinstance(refusal.counted, Bucket) else "day"
        raise RateLimited(
            f"Too many {measure} in a {span}.",
            retry_after_s=round(refusal.wait_s, 1),
            limit=f"{measure}_per_{span}",
            of=whose.split(":")[0],
        )


def charge_use(account: Account, usage: Usage, *, seconds: float, failed: bool = False) -> None:
    """Counts what a request cost, when it is over."""
    tokens = usage.prompt_tokens + usage.completion_tokens
    spent = list(_counted(account, TOKENS, cost=tokens)) if tokens else []
    if spent:
        counts().charge(spent)
    note_use(account.caller.name, account.model, usage, is_bot=account.bot_id is not None, seconds=seconds, failed=failed)


def _counted(account: Account, measure: str, *, cost: float) -> Iterator[Counted]:
    """The counts that limit this account in this measure."""
    for whose, allowance, rows in _allowances(account):
        a_minute = getattr(allowance, f"{measure}_per_minute")
        a_day = getattr(allowance, f"{measure}_per_day")
        if a_minute:
            yield Bucket(name=f"{whose} {measure}", burst=a_minute, rate_per_s=a_minute / 60, cost=cost)
        if a_day:
            yield Quota(name=f"{whose} {measure} today", most=a_day, cost=cost, used_before=partial(_used_today, rows, measure))


def _allowances(account: Account) -> Iterator[tuple[str, Allowance, Q]]:
    """The limits of the caller (a key's own ones go before those of the settings), then those of the bot, each with its usage."""
    name = account.caller.name
    own = _limits.get(("key", int(name[4:]))) if name.startswith("key:") else None
    default = Allowance(requests_per_minute=get_settings().ask_rate_per_minute)
    theirs = replace(own, requests_per_minute=own.requests_per_minute or default.requests_per_minute) if own else default
    if theirs != Allowance():
        yield name or f"address:{account.address or 'unknown'}", theirs, Q(caller=name)
    bots = _limits.get(("bot", account.bot_id)) if account.bot_id is not None else None
    if bots is not None:
        yield f"bot:{account.bot_id}", bots, Q(model=account.model, is_bot=True)


def _used_today(whose: Q, measure: str) -> float:
    """What this day's usage says, where nothing is counted yet: a process that counts alone has started, or a limit was set."""
    column = F("requests") if measure == REQUESTS else F("prompt_tokens") + F("completion_tokens")
    return float(UsageDay.objects.filter(whose, day=timezone.localdate()).aggregate(total=Sum(column))["total"] or 0)


def forget_limits() -> None:
    """Reads the limits anew; in other processes changes count after `QA_REMEMBER_S`."""
    _limits.clear()


def _read_limit(whose: tuple[str, int]) -> Allowance | None:
    kind, pk = whose
    row = Limit.objects.filter(**{f"{kind}_id": pk}).first()
    if row is None:
        return None
    return Allowance(
        requests_per_minute=row.requests_per_minute or 0,
        requests_per_day=row.requests_per_day or 0,
        tokens_per_minute=row.tokens_per_minute or 0,
        tokens_per_day=row.tokens_per_day or 0,
    )


_limits = Remembered(_read_limit, keep_s=lambda: get_settings().remember_s)
