"""What do tests of the panel share?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from apps.accounts.models import Membership, User
from apps.accounts.permissions import Caller
from apps.dialogue.models import Bot, Conversation, Feedback, Turn
from apps.faq.models import FAQ
from apps.faq.rows import FAQRow
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase
from tests.panel import SignIn


@pytest.fixture
def sign_in(kb: KnowledgeBase) -> SignIn:
    """Makes a browser of somebody new with a role in `kb`, or in `base`, or everywhere: `sign_in("editor")`."""

    def make(role: str, *, base: KnowledgeBase = kb, everywhere: bool = False, language: str = "en") -> Client:
        user = User.objects.create_user(f"{role}-{User.objects.count()}", is_staff=True, role=role if everywhere else "")
        if not everywhere:
            Membership.objects.create(user=user, kb=base, role=role)
        client = Client(headers={"accept-language": language})
        client.force_login(user)
        return client

    return make


@pytest.fixture
def other_kb(db: None) -> KnowledgeBase:
    return KnowledgeBase.objects.create(slug="other", name="Other")


@pytest.fixture
def add(admin_caller: Caller) -> Callable[..., FAQ]:
    """Stores an FAQ: `add(kb, "leave", ["How much leave?"], "20 days")`."""

    def make(kb: KnowledgeBase, id: str, questions: list[str], answer: str = "An answer.", **more: object) -> FAQ:
        return save_faqs(kb, [FAQRow(id=id, questions=tuple(questions), answer=answer, **more)], admin_caller).faqs[0]  # type: ignore[arg-type]

    return make


@pytest.fixture
def turns(bot: Bot) -> list[Turn]:
    """An answered question with a vote, and one that had no answer, twice."""
    thread = Conversation.objects.create(bot=bot)
    trace = {
        "faq": {
            "confidence": 0.9,
            "accepted": True,
            "candidates": [{"id": "a", "phrasing": "<b>bold</b>?", "score": 1.5, "contributions": {"cosine": 0.9}}],
        }
    }
    made = [
        Turn.objects.create(conversation=thread, question="good?", answer="yes", answered=True, skill="faq", state="finished", trace=trace)
    ]
    made += [Turn.objects.create(conversation=thread, question=text, state="finished") for text in ("Parking?", "parking")]
    Feedback.objects.create(turn=made[0], vote=1, comment="nice")
    return made
