"""Which skill answers when several could."""

from __future__ import annotations

import pytest

from apps.dialogue.policy import choose_skill
from core.types import Locale, Match, Query, Scope
from tests.skills import ScriptedSkill

QUERY = Query(text="q", normalized="q", locale=Locale.EN, scope=Scope(kb_ids=()), turn="t")


class Claiming(ScriptedSkill):
    """A skill with a fixed claim."""

    def __init__(self, name: str, confidence: float, *, accepted: bool = True) -> None:
        super().__init__([], name=name)
        self._match = Match(skill=name, confidence=confidence, accepted=accepted, payload=None)

    def match(self, query: Query) -> Match | None:
        """The claim."""
        return self._match


@pytest.mark.parametrize(
    ("first", "second", "speaks"),
    [(0.85, 0.99, "first"), (0.7, 0.9, "second"), (0.7, 0.6, "first"), (0.1, 0.9, "second")],
)
def test_the_first_sure_skill_speaks_else_the_surest(first: float, second: float, speaks: str) -> None:
    choice = choose_skill(QUERY, threshold=None, among=[Claiming("first", first), Claiming("second", second)])
    assert choice.skill is not None and choice.skill.name == speaks


def test_nobody_is_asked_after_a_sure_claim() -> None:
    among = [Claiming("first", 0.7), Claiming("second", 0.9), Claiming("third", 0.99)]
    choice = choose_skill(QUERY, threshold=None, among=among)
    assert choice.skill is among[1]
    assert list(choice.trace) == ["first", "second"]


def test_a_sure_claim_below_the_bots_threshold_lets_the_others_speak() -> None:
    among = [Claiming("first", 0.85), Claiming("second", 0.97)]
    assert choose_skill(QUERY, threshold=0.95, among=among).skill is among[1]


def test_a_sure_claim_that_is_not_accepted_does_not_speak() -> None:
    among = [Claiming("first", 0.95, accepted=False), Claiming("second", 0.6)]
    choice = choose_skill(QUERY, threshold=None, among=among)
    assert choice.skill is not None and choice.skill.name == "second"


def test_nobody_accepted_is_nobody() -> None:
    choice = choose_skill(QUERY, threshold=0.9, among=[Claiming("first", 0.85), Claiming("second", 0.7)])
    assert (choice.skill, choice.confidence) == (None, 0.85)
