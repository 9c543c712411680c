"""Refusals of the services, as the panel says them."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from apps.accounts.refusals import in_words
from apps.dialogue.understanding import check_question
from apps.faq.raw_rows import name_columns
from apps.faq.rows import parse_row
from apps.retrieval.raw_rows import Found
from core.errors import InvalidRequest

GOOD = {"question": "How?", "answer": "So"}
BAD_ROWS = [
    3, {}, {"question": "a"}, {**GOOD, "answer": ""}, {**GOOD, "answer": 3}, {**GOOD, "id": "a b"}, {**GOOD, "question": "x" * 2001}, {**GOOD, "question": 3},
    {**GOOD, "questions": [3]}, {**GOOD, "questions": [str(n) for n in range(201)]}, {**GOOD, "status": "live"}, {**GOOD, "locale": "fr"},
    {**GOOD, "valid_from": "tomorrow"}, {**GOOD, "valid_from": "2026-02-02", "valid_until": "2026-01-01"}, {**GOOD, "category": "x" * 121},
]  # fmt: skip


def said(refusal: InvalidRequest) -> tuple[str, str]:
    """The refusal on an English page and on a Chinese one."""
    with override("en"):
        english = in_words(refusal.message)
    with override("zh-hans"):
        return english, in_words(refusal.message)


@pytest.mark.parametrize("row", BAD_ROWS)
def test_what_is_wrong_with_a_row_is_said_in_the_readers_language(row: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_row(row)
    english, chinese = said(caught.value)
    assert english == caught.value.message
    assert any("\u4e00" <= char <= "\u9fff" for char in chinese)


@pytest.mark.parametrize("question", [None, "", "x" * 10_001])
def test_what_cannot_be_asked_is_said_in_the_readers_language(question: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_question(question)
    assert "问题" in said(caught.value)[1]


def test_the_reason_within_a_refusal_is_translated_too() -> None:
    with pytest.raises(InvalidRequest) as caught:
        name_columns(["question", "question", "answer"], Found())
    assert said(caught.value)[1] == "文件无法使用：列 question 出现了两次。"


def test_a_refusal_that_nobody_translated_stays_as_it_is() -> None:
    with override("zh-hans"):
        assert in_words("The moon is full.") == "The moon is full."
