"""Which copies are left out when documents come in, and which are kept because they add something."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.documents.fingerprints import fingerprints_of
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.selectors import copies_of
from apps.retrieval.documents.services import set_status
from apps.retrieval.models import Document, IngestPolicy, KnowledgeBase
from tests.documents import put_document
from tests.ingested_rows import WORDS, ingest_rows, prose, stored, told

Row = dict[str, object]
Read = Callable[..., IngestReport]
RULE = (
    "员工因私出国旅行应当提前十五个工作日在系统中提交申请，写明目的地、行程与联系方式。部门负责人在三个工作日内审批，人力资源部备案。"
    "返回后一周内销假；逾期不归的，按照考勤管理办法处理。"
)
DROPPED, NOTED = "dropped", "noted"


@pytest.fixture
def read(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> Read:
    """Ingests rows into `kb`, their ids being a, b, c where they have none."""

    def read_rows(*rows: Row | str, caller: Caller = admin_caller) -> IngestReport:
        full = [{"id": id} | ({"text": row} if isinstance(row, str) else row) for id, row in zip("abcdefgh", rows, strict=False)]
        return ingest_rows(kb, full, caller, tmp_path)

    return read_rows


def test_a_copy_is_left_out_within_a_run_and_of_earlier_ones(read: Read) -> None:
    assert told(read(prose(1), prose(1), prose(2))) == [("2", DROPPED, "duplicate")]
    report = read(prose(1), {"id": "d", "text": prose(2)})
    assert (told(report), report.unchanged, stored()) == ([("2", DROPPED, "duplicate")], 1, {"a", "c"})
    assert report.items[0].reason == "Its text is the same as that of 'c'."


def test_a_near_copy_is_reported_and_left_out_where_the_policy_says_so(read: Read, kb: KnowledgeBase) -> None:
    assert told(read(prose(1, 1500), prose(1, 1500) + " One more.")) == [("2", NOTED, "near_duplicate")]
    IngestPolicy.objects.create(kb=kb, near_duplicates="drop")
    assert told(read({"id": "c", "text": prose(1, 1500) + " Another one."})) == [("1", DROPPED, "near_duplicate")]
    assert stored() == {"a", "b"}


def test_a_document_that_becomes_a_copy_is_kept_and_noted(read: Read) -> None:
    read(prose(1), prose(2))
    report = read({"id": "b", "text": prose(1)})
    assert (told(report), report.updated) == ([("1", NOTED, "duplicate")], 1)


def test_copies_are_kept_where_the_policy_says_so(read: Read, kb: KnowledgeBase) -> None:
    IngestPolicy.objects.create(kb=kb, duplicates="keep", near_duplicates="keep")
    assert told(read(prose(1), prose(1), RULE, RULE + "另行通知。")) == []
    assert stored() == {"a", "b", "c", "d"}


def test_texts_that_are_compared_word_by_word_are_read_at_once(read: Read) -> None:
    texts = [prose(seed, words=80) for seed in range(6)]
    read(*texts)
    counts = []
    for number in (2, 4):
        rows = [{"id": f"{number} near {place}", "text": f"{text} {WORDS[number]}."} for place, text in enumerate(texts[:number])]
        with CaptureQueriesContext(connection) as queries:
            assert {code for _, _, code in told(read(*rows))} == {"near_duplicate"}
        counts.append(
            len([query for query in queries if query["sql"].startswith("SELECT") and 'FROM "retrieval_document"' in query["sql"]])
        )
    assert counts[0] == counts[1]


def test_looking_for_copies_scans_no_table(read: Read) -> None:
    read(prose(1))
    with CaptureQueriesContext(connection) as queries:
        read({"id": "b", "text": prose(3)})
    if connection.vendor != "sqlite":  # PostgreSQL rightly scans tables of one row
        return
    asked = [query["sql"] for query in queries if re.search(r'"band_\d" IN', query["sql"])]
    asked += [query["sql"] for query in queries if '"text_sha256" IN' in query["sql"]]
    with connection.cursor() as cursor:
        plans = []
        for sql in asked:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plans += [row[3] for row in cursor.fetchall() if "retrieval_document" in row[3]]
    found = [re.search(r"document_by_(\w+) \(kb_id=\? AND \w+=\?\)", plan) for plan in plans]
    assert [name and name[1] for name in found] == ["print_0", "print_1", "print_2", "print_3", "text"]


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("The desk is open from 9 to 17.", "The desk is  open from 9 to 17"),
        ("前台工作时间：九点到十七点。", "前台工作时间: 九点到十七点"),
        (RULE, RULE.replace("，", ",")),
    ],
)
def test_a_short_text_is_a_copy_under_the_same_title_however_it_is_pointed(read: Read, text: str, again: str) -> None:
    report = read({"text": text, "title": "Desk"}, {"text": again, "title": "Desk"})
    assert (told(report), stored()) == ([("2", DROPPED, "duplicate")], {"a"})


def test_short_texts_under_other_titles_say_other_things(read: Read) -> None:
    rows = [{"text": "Yes.", "title": "May I park here?"}, {"text": "Yes.", "title": "Is lunch free?"}]
    assert (told(read(*rows)), stored()) == ([], {"a", "b"})


@pytest.mark.parametrize(
    "texts",
    [
        ("Office hours in Berlin: 9-17", "Office hours in Paris: 9-17"),
        ("北京办公室的工作时间为九点到十七点。", "上海办公室的工作时间为九点到十七点。"),
        ("The fee is 15 euros.", "The fee is 1.5 euros."),
    ],
)
def test_short_texts_of_one_template_are_neither_left_out_nor_named(read: Read, kb: KnowledgeBase, texts: Sequence[str]) -> None:
    IngestPolicy.objects.create(kb=kb, near_duplicates="drop")
    assert (told(read(*texts)), stored()) == ([], {"a", "b"})


def test_a_near_copy_of_a_chinese_paragraph_is_reported(read: Read) -> None:
    assert told(read(RULE, RULE + "特此通知。")) == [("2", NOTED, "near_duplicate")]


@pytest.mark.parametrize(
    ("again", "outcome"),
    [
        (RULE.replace("应当提前", "提前"), DROPPED),
        (RULE + "特此通知。", NOTED),
        (RULE.replace("十五", "二十"), NOTED),
        (RULE.replace("不归", "归"), NOTED),
    ],
)
def test_of_short_near_copies_those_alone_are_left_out_that_say_nothing_more_or_else(
    read: Read, kb: KnowledgeBase, again: str, outcome: str
) -> None:
    IngestPolicy.objects.create(kb=kb, near_duplicates="drop")
    assert told(read(RULE, again)) == [("2", outcome, "near_duplicate")]


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({"date": "2023-05-01"}, {"date": "2024-05-01"}, "is older"),
        ({"access": ["hr"]}, {}, "fewer people may read"),
        ({"access": ["hr"]}, {"access": ["sales"]}, "fewer people may read"),
        ({"category": "Berlin"}, {"category": "Paris"}, "is filed elsewhere"),
        ({"tags": ["a"]}, {"tags": ["a", "b"]}, "is filed elsewhere"),
        ({"title": "Travel"}, {"title": "Travel abroad"}, "has another title"),
        ({"status": "in_review"}, {}, "is not published"),
    ],
)
def test_a_copy_that_adds_something_comes_in_whichever_is_first(read: Read, first: Row, second: Row, why: str) -> None:
    report = read({"text": RULE * 3} | first, {"text": RULE * 3} | second)
    assert [item.reason for item in report.items] == [f"Its text is the same as that of 'a', which {why}."]
    assert stored() == {"a", "b"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"date": "2024-05-01"}, {"date": "2023-05-01"}),
        ({}, {"access": ["hr"]}),
        ({"access": ["hr", "sales"]}, {"access": ["sales"]}),
        ({"category": "Travel", "tags": ["a", "b"]}, {"tags": ["b"]}),
        ({"title": "Travel"}, {}),
        ({"title": "Travel"}, {"title": "Copy of travel"}),
        ({"title": "差旅"}, {"title": "差旅 - 副本 (2)"}),
        ({"title": "Travel"}, {"title": "b"}),
        ({}, {"status": "in_review"}),
    ],
)
def test_one_that_adds_nothing_is_left_out(read: Read, first: Row, second: Row) -> None:
    assert told(read({"text": RULE * 3} | first, {"text": RULE * 3} | second)) == [("2", DROPPED, "duplicate")]


def test_what_is_archived_keeps_no_copy_out(read: Read, kb: KnowledgeBase, admin_caller: Caller) -> None:
    read(RULE * 3)
    set_status(kb, list(Document.objects.all()), Document.Status.ARCHIVED, admin_caller)
    assert (told(read({"id": "b", "text": RULE * 3})), stored()) == ([], {"b"})


def test_a_copy_that_will_wait_for_review_is_left_out_too(read: Read) -> None:
    editor = Caller(name="user:2", role=AccessRole.EDITOR)
    assert told(read(prose(1), prose(1), caller=editor)) == [("2", DROPPED, "duplicate")]


def test_what_was_stored_under_the_keys_of_earlier_versions_is_found(read: Read) -> None:
    text = RULE * 3
    read(text)
    simhash = fingerprints_of(text)[1]
    bands = {f"band_{number}": band for number, band in enumerate(simhash.bands)}
    Document.objects.update(text_sha256=hashlib.sha256(text.encode()).hexdigest(), simhash=simhash.value, **bands)
    report = read(
        {"id": "b", "text": text}, {"id": "c", "text": text.replace("备案。", "备案。\n")}, {"id": "d", "text": text + "特此通知。"}
    )
    assert told(report) == [("1", DROPPED, "duplicate"), ("2", NOTED, "near_duplicate"), ("3", NOTED, "near_duplicate")]


def test_a_document_shows_its_copies_and_near_copies(kb: KnowledgeBase, admin_caller: Caller) -> None:
    first, *_ = (put_document(kb, id, text) for id, text in [("a", RULE), ("b", RULE.replace("。", ".")), ("c", RULE + "特此通知。")])
    put_document(kb, "d", "前台工作时间为九点到十七点。")
    same, near = copies_of(first, admin_caller)
    assert ([one.external_id for one in same], [one.external_id for one in near]) == (["b"], ["c"])
