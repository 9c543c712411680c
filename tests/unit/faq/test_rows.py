"""One checked row: what is taken, and what is refused with which words."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from apps.faq.rows import parse_row
from core.errors import InvalidRequest

GOOD = {"question": "年假有几天？", "answer": "十天。"}


def test_question_and_questions_are_joined_each_once() -> None:
    row = parse_row({"question": "年假有几天？", "questions": ["年假有几天", " 一年  休几天 "], "answer": "十天。"})
    assert row.questions == ("年假有几天？", "一年 休几天")


def test_a_cell_holds_one_phrasing_a_line() -> None:
    assert parse_row({"questions": "a?\r\n\r\nb?\n", "answer": "c"}).questions == ("a?", "b?")


def test_line_breaks_of_an_answer_stay() -> None:
    assert parse_row({**GOOD, "answer": " 一\r\n二\r三\t四 \x07"}).answer == "一\n二\n三\t四"


def test_a_number_can_be_an_id() -> None:
    assert parse_row({**GOOD, "id": 17}).id == "17"


def test_a_bare_date_covers_its_whole_day_in_the_servers_zone() -> None:
    row = parse_row({**GOOD, "valid_from": "2026-03-01", "valid_until": date(2026, 3, 31)})
    assert row.valid_from == datetime(2026, 2, 28, 16, tzinfo=UTC)
    assert row.valid_until == datetime(2026, 3, 31, 15, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026/3/1", " 2026-03-01 ", "2026-03-01T00:00+08:00", "2026-02-28T16:00Z", "2026/3/1 0:00"])
def test_dates_come_in_many_spellings(text: str) -> None:
    assert parse_row({**GOOD, "valid_from": text}).valid_from == datetime(2026, 2, 28, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"answer": None}, "answer", "missing"),
        ({"answer": " \n "}, "answer", "empty"),
        ({"answer": 7}, "answer", "must be text"),
        ({"answer": ["a"]}, "answer", "must be text"),
        ({"answer": "长" * 100_001}, "answer", "100001 characters"),
        ({"question": "?" * 2001}, "questions", "2001 characters"),
        ({"question": None}, "questions", "At least one question"),
        ({"question": "\u200b \n"}, "questions", "At least one question"),
        ({"question": True}, "question", "text or a list"),
        ({"questions": {"a": 1}}, "questions", "text or a list"),
        ({"questions": ["a", 1]}, "questions", "Every question must be text"),
        ({"questions": [f"q{n}" for n in range(201)], "question": None}, "questions", "at most 200"),
        ({"id": "a b"}, "id", "visible characters"),
        ({"id": "a/b"}, "id", "visible characters"),
        ({"id": "a\x00"}, "id", "visible characters"),
        ({"id": "a\ud800"}, "id", "visible characters"),
        ({"id": "x" * 121}, "id", "1 to 120"),
        ({"id": True}, "id", "visible characters"),
        ({"category": 5}, "category", "must be text"),
        ({"category": "c" * 121}, "category", "121 characters"),
        ({"locale": "fr"}, "locale", "one of zh, en"),
        ({"status": "live"}, "status", "one of draft"),
        ({"status": ["draft"]}, "status", "one of draft"),
        ({"valid_from": "soon"}, "valid_from", "must be a date"),
        ({"valid_from": "2026-02-30"}, "valid_from", "must be a date"),
        ({"valid_from": 46112}, "valid_from", "must be a date"),
        ({"valid_from": True}, "valid_from", "must be a date"),
        ({"valid_from": "0001-01-01"}, "valid_from", "must be a date"),
        ({"valid_until": "9999-12-31T23:59:59-10:00"}, "valid_until", "must be a date"),
        ({"valid_from": "2026-03-02", "valid_until": "2026-03-01"}, "valid_until", "before"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_row({**GOOD, **change})
    assert refused.value.details["field"] == field
    assert says in refused.value.message


@pytest.mark.parametrize("data", [None, "text", 5, ["question", "answer"]])
def test_a_row_must_be_an_object(data: object) -> None:
    with pytest.raises(InvalidRequest, match="object"):
        parse_row(data)
