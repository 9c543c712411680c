"""How near is the estimate of tokens? Counts of XLM-RoBERTa's tokenizer, written down."""

from __future__ import annotations

import pytest

from core.tokens import estimate_all, estimate_tokens


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("年假有几天？", 6),
        ("员工报销需要在十五个工作日内提交发票和审批单。", 15),
        ("How many days of annual leave do I have?", 10),
        ("Submit the invoice and the approval form within fifteen working days.", 18),
    ],
)
def test_the_estimate_is_near_what_a_tokenizer_counts(text: str, counted: int) -> None:
    assert counted * 0.75 <= estimate_tokens(text) <= counted * 1.4


def test_blank_texts_have_no_tokens_and_texts_add_up() -> None:
    assert (estimate_tokens(""), estimate_tokens(" \n")) == (0, 0)
    assert estimate_all(["hello there", "年假"]) == estimate_tokens("hello there") + estimate_tokens("年假")
