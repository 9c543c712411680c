"""What documents can be filtered by, and that searches ask for the same terms."""

from __future__ import annotations

from datetime import date

import pytest

from apps.retrieval.documents.facts import facts_of, filters_for
from apps.retrieval.models import Document

TRAVEL = Document(category="Rules", tags=["Travel", "money"], language="en", author="Ann Lee", date=date(2026, 3, 31))
SECRET = Document(access=["board", "Legal"])


def test_facts_are_terms_and_a_day() -> None:
    facts = facts_of(TRAVEL)
    assert facts.terms == ("category=rules", "lang=en", "author=ann lee", "tag=travel", "tag=money", "access=*")
    assert facts.day == date(2026, 3, 31).toordinal()


ASKED: list[tuple[dict[str, object], bool]] = [
    ({}, True),
    ({"tags": ["TRAVEL "]}, True),
    ({"tags": ["other", "money"]}, True),
    ({"tags": ["travel"], "categories": ["news"]}, False),
    ({"authors": ["ann lee"], "languages": ["en"]}, True),
    ({"since": date(2026, 3, 31), "until": date(2026, 3, 31)}, True),
    ({"since": date(2026, 4, 1)}, False),
]


@pytest.mark.parametrize(("asked", "found"), ASKED, ids=range(len(ASKED)))
def test_a_search_finds_what_has_one_value_of_every_name(asked: dict[str, object], found: bool) -> None:
    assert filters_for(groups=(), **asked).admits(facts_of(TRAVEL)) is found  # type: ignore[arg-type]


@pytest.mark.parametrize(("groups", "found"), [((), False), (("staff",), False), (("legal",), True), (None, True)])
def test_what_has_an_access_list_is_found_by_its_groups_only(groups: tuple[str, ...] | None, found: bool) -> None:
    assert filters_for(groups=groups).admits(facts_of(SECRET)) is found
    assert filters_for(groups=groups).admits(facts_of(TRAVEL))
