"""The density of a knowledge base: read from its index, settled towards the typical where the base is small."""

from collections.abc import Iterator

import numpy as np
import pytest

from apps.accounts.permissions import Caller
from apps.faq.density import base_density, forget_densities
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import follower
from apps.retrieval.selectors import scope_of
from core.types import Role, Scope
from tests.encoders import HashingEncoder


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    forget_densities()
    yield
    forget_densities()


def fill(kb: KnowledgeBase, caller: Caller, *questions: list[str]) -> Scope:
    rows = [parse_row({"id": f"f{number}", "questions": texts, "answer": "a"}) for number, texts in enumerate(questions)]
    save_faqs(kb, rows, caller)  # type: ignore[arg-type]
    scope = scope_of([kb])
    follower().follow(kb.pk, scope.revisions[0])
    return scope


def test_an_empty_base_has_the_typical_density(kb: KnowledgeBase) -> None:
    assert base_density(scope_of([kb]), "hashing@1", 0.9) == 0.9


def test_phrasings_of_one_faq_say_nothing_about_density(kb: KnowledgeBase, admin_caller: Caller) -> None:
    assert base_density(fill(kb, admin_caller, ["how many days", "how many days off"]), "hashing@1", 0.9) == 0.9


def test_it_is_the_mean_cosine_to_the_nearest_other_faq(kb: KnowledgeBase, admin_caller: Caller, encoder: HashingEncoder) -> None:
    scope = fill(kb, admin_caller, ["annual leave days", "annual leave rules"], ["annual leave carry over"])
    first, second, other = encoder.encode(["annual leave days", "annual leave rules", "annual leave carry over"], Role.PASSAGE)
    nearest = [first @ other, second @ other, max(first @ other, second @ other)]
    assert base_density(scope, "hashing@1", 0.9) == pytest.approx((2 * np.mean(nearest) + 10 * 0.9) / 12, abs=0.002)


def test_it_is_remembered_until_the_base_has_grown_twofold(kb: KnowledgeBase, admin_caller: Caller) -> None:
    before = base_density(fill(kb, admin_caller, ["annual leave"], ["meal vouchers"]), "hashing@1", 0.9)
    grown = fill(kb, admin_caller, ["annual leave"], ["meal vouchers"], ["annual leave days"])
    assert base_density(Scope(kb_ids=grown.kb_ids, revisions=(1,)), "hashing@1", 0.9) == before
    assert base_density(Scope(kb_ids=grown.kb_ids, revisions=(4,)), "hashing@1", 0.9) != before
