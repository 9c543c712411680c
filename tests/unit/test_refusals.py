"""Refusals of the services, as the panel says them."""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path

import pytest
from django.utils.translation import override

from apps.accounts.refusals import in_words, in_words_of_form
from apps.dialogue.understanding import check_question
from apps.faq.csv_files import read_csv
from apps.faq.raw_rows import name_columns
from apps.faq.rows import parse_row
from apps.retrieval import parsing
from apps.retrieval.documents.admin_ingestions import REASONS
from apps.retrieval.parsing import formats
from apps.retrieval.parsing.refusal import ADVICE, Reason, UnreadableFile
from apps.retrieval.rows.raw_rows import Found, read_jsonl
from apps.retrieval.sites.refusal import Problem
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


BAD_LINES = [
    b"[1]", b'"a"', b"1", b"true", b"null", b"hello", b'{"a": "no end', b'{"a": 1,}', b"{a: 1}", b'{"a" 1}', b'{"a": 1 "b": 2}', b'{"a": [1 2]}', b'{"a": 01}',
    b'{"a": 1} b', b'{"a": "\\x"}', b'{"a": "\\ud800"}', b'{"a": NaN}', b'{"a": tru}', b'{"a": "x\ty"}', b'{"a": 1e999}', b'{"a": -}', b"[" * 2000, b'{"a": "\xff"}',
]  # fmt: skip


@pytest.mark.parametrize("line", BAD_LINES)
def test_why_a_line_of_a_file_is_no_document_is_said_in_the_readers_language(line: bytes) -> None:
    (row,) = read_jsonl(io.BytesIO(line), Found(), readable=(), max_line_bytes=10_000)
    english, chinese = said(InvalidRequest(row.problem))
    assert english == row.problem
    assert not re.search(r"[A-Za-z]{2,}", re.sub(r"JSON|UTF-8|true|false|null", "", chinese)), chinese


def test_a_line_that_is_not_json_is_told_with_the_place_in_it() -> None:
    (row,) = read_jsonl(io.BytesIO('{"标题": "年假", b}'.encode()), Found(), readable=(), max_line_bytes=100)
    assert said(InvalidRequest(row.problem)) == (
        "The line is not JSON: a name in double quotes is wanted (character 14).",
        "该行不是 JSON：此处应为用双引号括起的名称（第 14 个字符）。",
    )


@pytest.mark.parametrize("row", [b"a,1,2,3", b'"a"b,1', b'"a,1', b'"a\nb"c,1', b"a\x80,1"])
def test_what_is_wrong_with_a_row_of_a_table_is_said_in_the_readers_language(row: bytes) -> None:
    problem = next(read_csv(io.BytesIO(b"question,answer\n" + row + b"\n"), Found())).problem
    english, chinese = said(InvalidRequest(problem))
    assert english == problem
    assert any("\u4e00" <= char <= "\u9fff" for char in chinese)


def test_a_refusal_that_nobody_translated_stays_as_it_is() -> None:
    with override("zh-hans"):
        assert in_words("The moon is full.") == "The moon is full."


def test_a_form_calls_its_fields_by_their_labels() -> None:
    with override("zh-hans"):
        assert in_words_of_form("`text` is empty.", {"text": "正文"}) == "“正文”为空。"
        assert in_words_of_form("`text` is empty.", {}) == "`text` 为空。"
    with override("en"):
        assert in_words_of_form("`text` is empty.", {"text": "text"}) == "“Text” is empty."


def problems_of_files() -> list[str]:
    """Every problem that reading a file can name, its changing parts replaced by a number."""
    found = []
    for path in Path(parsing.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UnreadableFile":
                texts = [node.args[1].body, node.args[1].orelse] if isinstance(node.args[1], ast.IfExp) else [node.args[1]]
                for text in texts:
                    if isinstance(text, ast.Constant):
                        found.append(str(text.value))
                    elif isinstance(text, ast.JoinedStr):
                        found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in text.values))
    return found


def test_whatever_keeps_a_file_from_being_read_is_said_in_the_readers_language() -> None:
    problems = problems_of_files()
    assert len(problems) > 30
    for problem, advice in [*((text, ADVICE[Reason.DAMAGED]) for text in problems), *(("it is empty", text) for text in ADVICE.values())]:
        english, chinese = said(InvalidRequest(f"{problem}. {advice}"))
        assert english == f"{problem}. {advice}"
        assert not re.search(r"\b(?:it|its|is|the|and|or|Split|Save)\b", chinese.replace("QA_", "")), chinese


def warnings_of_files() -> list[str]:
    """Every warning that reading a file can give, its changing parts replaced by a number."""
    calls = [
        node
        for path in Path(parsing.__path__[0]).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    texts = [call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "warn"]
    return ["".join(part.value if isinstance(part, ast.Constant) else "7" for part in text.values) for text in texts]


def test_whatever_a_file_is_read_in_spite_of_is_said_in_the_readers_language() -> None:
    warnings = [*warnings_of_files(), "The name promises application/pdf, but it is text/plain and was read as that."]
    assert len(warnings) > 5
    for warning in warnings:
        english, chinese = said(InvalidRequest(warning))
        assert english == warning
        assert not re.search(r"\b(?:it|its|is|the|and|or|were|page|pages)\b", chinese), chinese


@pytest.mark.parametrize(("kind", "chinese"), [("a PNG image", "这是 PNG 图片，无法读取"), ("a program", "这是程序文件，无法读取")])
def test_what_a_file_is_instead_is_named_in_the_readers_language(kind: str, chinese: str) -> None:
    refusal = UnreadableFile(Reason.UNSUPPORTED, f"it is {kind}, which cannot be read")
    assert said(InvalidRequest(refusal.message.removeprefix("The file: ")))[1].startswith(chinese)
    assert kind in {known for _, known in formats._FOREIGN}


def test_every_reason_of_a_report_has_a_name() -> None:
    assert {*Reason, *Problem} <= set(REASONS)
