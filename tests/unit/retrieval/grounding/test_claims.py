"""Chunks become sentences with the sources that they name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval.grounding.claims import Claim, claims_of

TEXT = "You get 10 days [1]. It costs 1.50 yuan.[2, 3] See it.\n1. Open Sprout [1]\n2. 点“假期”。[2]再提交。"


def test_sentences_come_with_the_sources_named_in_or_behind_them() -> None:
    found = list(claims_of([TEXT]))
    assert [claim.text for claim in found] == [
        "You get 10 days.",
        "It costs 1.50 yuan.",
        "See it.",
        "Open Sprout",
        "点“假期”。",
        "再提交。",
    ]
    assert [claim.cited for claim in found] == [(1,), (2, 3), (), (1,), (2,), ()]
    assert [claim.lead for claim in found] == ["", "", "", "1. ", "2. ", ""]
    assert [claim.begins_line for claim in found] == [False, False, False, True, True, False]


@given(st.lists(st.integers(0, len(TEXT)), max_size=40))
def test_it_does_not_matter_where_the_text_is_cut_into_chunks(cuts: list[int]) -> None:
    ends = sorted({0, *cuts, len(TEXT)})
    chunks = [TEXT[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    assert list(claims_of(chunks)) == list(claims_of([TEXT]))


def test_a_sentence_is_there_as_soon_as_the_next_one_begins() -> None:
    taken: list[str] = []

    def chunks() -> object:
        for text in ("One is. ", "[1] ", "T", "wo is."):
            taken.append(text)
            yield text

    assert next(claims_of(chunks())).cited == (1,)  # type: ignore[arg-type]
    assert taken == ["One is. ", "[1] ", "T"]


@pytest.mark.parametrize(
    ("text", "shown"), [("Ten days.", "Ten days [2]."), ("十天。", "十天[2]。"), ("Ten days", "Ten days [2]"), ("“Yes!”", "“Yes!”[2]")]
)
def test_the_number_of_the_source_stands_before_the_full_stop(text: str, shown: str) -> None:
    assert Claim(text=text).shown(2) == shown


def test_only_what_ends_as_a_sentence_is_finished() -> None:
    assert Claim(text="Ten days.").is_finished and Claim(text="“十天。”").is_finished
    assert not Claim(text="Ten da").is_finished
