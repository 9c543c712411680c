"""Who may have a summary written, and what does it count for? As any other call of the generator: limits before, tokens after."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event

from rest_framework.request import Request

from apps.accounts.authentication import caller_of
from apps.accounts.limits import Account, charge_use, take_request
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.summaries.writing import By, Ranked, Writer, Written, draft_of, write_draft
from apps.serving.generators import GENERATOR, generator_names
from apps.serving.model_places import departure_of, model_place
from core.errors import NotAuthenticated, Overloaded


def may_have_written(kb: KnowledgeBase, caller: Caller) -> bool:
    """Whether this caller can be offered a written summary: a search that is open to anybody does not open the generator."""
    return not caller.anonymous and caller.may(Permission.READ, kb.pk) and bool(generator_names())


def writer_for(request: Request, kb: KnowledgeBase, by: By) -> Writer | None:
    """Who writes; None where sentences are wanted as they stand. Counts the request.

    Raises NotAuthenticated and Forbidden for who may only search, RateLimited where a limit is used up.
    """
    if by is By.EXTRACTION:
        return None
    caller = caller_of(request)
    if caller.anonymous:
        raise NotAuthenticated("A written summary needs a key or a session; `by=extraction` does not.")
    caller.require(Permission.READ, kb.pk)
    account = Account(caller=caller, model=GENERATOR, address=request.META.get("REMOTE_ADDR", ""))
    take_request(account)
    return _Generator(account, departure_of(request._request))


@dataclass(frozen=True, slots=True)
class _Generator:
    """Has a draft written for an account, until its client leaves; implements `Writer`."""

    account: Account
    left: Event

    def __call__(self, ranked: Ranked, *, count: int, question: str = "") -> Written:
        """As `Writer`. Failed also where too many requests wait for models."""
        draft, began = draft_of(ranked), time.perf_counter()
        try:
            with model_place():
                return write_draft(draft, count=count, question=question, cancel=self.left)
        except Overloaded as error:
            draft.failure = error.code
            return Written(failed=True)
        finally:
            charge_use(self.account, draft.usage, seconds=time.perf_counter() - began, failed=bool(draft.failure))
