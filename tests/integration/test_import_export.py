"""FAQs come in from files and go out again: rows by rows, edits, permissions, and what it costs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.permissions import AccessRole, Caller
from apps.faq.files import FileFormat, write_rows
from apps.faq.imports import ImportReport, export_rows, import_faqs
from apps.faq.models import FAQ, FAQQuestion
from apps.faq.rows import parse_row
from apps.faq.selectors import faq_of
from apps.faq.services import delete_faqs, save_faqs
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Entry, KnowledgeBase
from apps.retrieval.outbox.follower import follower
from core.errors import Forbidden, InvalidRequest
from core.types import EntryKind, Scope
from tests.encoders import HashingEncoder

Read = Callable[..., ImportReport]


@pytest.fixture
def read(kb: KnowledgeBase, admin_caller: Caller) -> Read:
    """Imports jsonl rows into `kb`."""

    def import_rows(*rows: object, caller: Caller = admin_caller, **options: object) -> ImportReport:
        content = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()
        return import_faqs(kb, io.BytesIO(content), name="rows.jsonl", caller=caller, **options)  # type: ignore[arg-type]

    return import_rows


def row(key: str, answer: str = "十天。", **more: object) -> dict[str, object]:
    return {"id": key, "question": f"问题{key}", "answer": answer, **more}


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.bad_count


def test_rows_are_created_then_updated_then_unchanged(read: Read) -> None:
    assert counts(read(row("a"), row("b"))) == (2, 0, 0, 0)
    assert counts(read(row("a"), row("b", "改了。"), row("c"))) == (1, 1, 1, 0)


def test_imported_rows_are_found_by_words_and_by_vectors(read: Read, kb: KnowledgeBase, encoder: HashingEncoder) -> None:
    read({"id": "x", "question": "怎样申请年假", "answer": "在系统里。"}, row("y"))
    kb.refresh_from_db()
    follower().follow(kb.pk, kb.revision)
    wanted, scope = FAQQuestion.objects.get(faq__external_id="x").pk, Scope(kb_ids=(kb.pk,))
    pair = indexes_for(EntryKind.FAQ)
    assert pair.lexical.search("年假", 5, scope)[0].id == wanted
    assert pair.vector.made_by(encoder.model_id).search(encoder.encode_query("怎样申请年假").vector, 5, scope)[0].id == wanted


def test_unchanged_rows_are_not_encoded_again(read: Read, encoder: HashingEncoder) -> None:
    read(*(row(f"{n}") for n in range(20)))
    before = encoder.texts_encoded
    read(*(row(f"{n}") for n in range(20)))
    assert encoder.texts_encoded == before


def test_bad_rows_are_listed_and_good_ones_kept(read: Read) -> None:
    report = read(row("a"), "{broken", {"id": "b", "question": "q"}, row("c"))
    assert counts(report) == (2, 0, 0, 2)
    assert [(bad.row, bad.reason[:24]) for bad in report.bad] == [(2, "The line is not JSON: a "), (3, "`answer` is missing.")]


def test_an_id_that_is_there_twice_is_a_bad_row_that_names_the_first(read: Read, kb: KnowledgeBase) -> None:
    report = read(row("a", "first"), row("b"), row("a", "second"))
    assert [bad.row for bad in report.bad] == [3]
    assert "in row 1 already" in report.bad[0].reason
    assert faq_of(kb, "a").answer == "first"


def test_rows_without_id_read_twice_change_nothing(read: Read) -> None:
    rows = [{"question": "年假有几天？", "answer": "十天。"}, {"question": "病假呢？", "answer": "看情况。"}]
    assert counts(read(*rows)) == (2, 0, 0, 0)
    assert counts(read(*rows)) == (0, 0, 2, 0)


def test_a_dry_run_tells_the_same_and_changes_nothing(read: Read, kb: KnowledgeBase, encoder: HashingEncoder) -> None:
    read(row("a"), row("b"))
    kb.refresh_from_db()
    before, encoded = kb.revision, encoder.texts_encoded
    assert counts(read(row("a"), row("b", "改了。"), row("c"), "bad", dry_run=True)) == (1, 1, 1, 1)
    kb.refresh_from_db()
    assert (kb.revision, encoder.texts_encoded, FAQ.objects.count()) == (before, encoded, 2)


def test_an_unusable_file_changes_nothing(kb: KnowledgeBase, admin_caller: Caller) -> None:
    with pytest.raises(InvalidRequest, match="cannot be used"):
        import_faqs(kb, io.BytesIO(b"x,y\n1,2\n"), name="a.csv", caller=admin_caller)
    assert not FAQ.objects.exists()


def test_an_upload_over_the_limit_is_refused(read: Read) -> None:
    with pytest.raises(InvalidRequest, match="at most 0 are taken"):
        read(row("a"), limit_bytes=10)


def test_an_editors_rows_wait_for_review_and_published_ones_are_left_alone(read: Read, kb: KnowledgeBase) -> None:
    read(*(row(f"{n}") for n in range(5)))
    editor = Caller(name="user:2", role=AccessRole.EDITOR)
    report = read(row("0", "改"), row("1"), row("new"), row("mine", status="published"), caller=editor)
    assert [bad.row for bad in report.bad] == [1, 2, 4]
    assert all("may not publish" in bad.reason for bad in report.bad)
    assert (report.created, faq_of(kb, "new").status, faq_of(kb, "0").answer) == (1, "in_review", "十天。")


def test_a_reader_may_not_import(read: Read) -> None:
    with pytest.raises(Forbidden):
        read(row("a"), caller=Caller(name="user:3", role=AccessRole.VIEWER))


@pytest.mark.parametrize("known", list(FileFormat))
def test_export_and_import_lose_nothing(known: FileFormat, kb: KnowledgeBase, admin_caller: Caller) -> None:
    rows = [
        {"id": "007", "questions": ["=年假?", "b", "a"], "answer": '一\n\n二,"三"', "category": "人事", "locale": "en", "status": "draft"},
        {
            "id": "x.y",
            "questions": ["q"],
            "answer": "=1+1",
            "valid_from": "2026-03-01T08:30:15.25+09:00",
            "valid_until": "2026-03-31",
            "status": "archived",
        },
        {"id": "p", "questions": ["公开"], "answer": "是", "status": "published"},
    ]
    save_faqs(kb, [parse_row(data) for data in rows], admin_caller)
    before, file = list(export_rows(kb)), io.BytesIO()
    write_rows(file, known, before)
    same = import_faqs(kb, file, name="f", caller=admin_caller, file_format=known)
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    import_faqs(other, file, name="f", caller=admin_caller, file_format=known)
    assert counts(same) == (0, 0, 3, 0)
    assert list(export_rows(other)) == before


def test_export_can_be_limited_to_a_status(read: Read, kb: KnowledgeBase) -> None:
    read(row("a", status="draft"), row("b"))
    assert [exported.id for exported in export_rows(kb, status="draft")] == ["a"]


def test_no_query_is_made_for_a_row(read: Read) -> None:
    with CaptureQueriesContext(connection) as few:
        read(*(row(f"a{n}") for n in range(40)))
    with CaptureQueriesContext(connection) as many:
        read(*(row(f"b{n}") for n in range(70)))
    assert len(many) <= len(few) + 2


def test_a_chunk_is_closed_by_its_phrasings(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    rows = [
        {"id": f"{n}", "questions": [f"问{n} {word}" for word in "abcdefghijklmnopqrst"], "answer": "a", "status": "draft"}
        for n in range(120)
    ]
    read(*rows, progress=lambda number, _bytes: told.append(number))
    assert told == [52, 104, 120]


def test_a_deleted_faq_comes_back_with_its_vectors(read: Read, kb: KnowledgeBase, admin_caller: Caller) -> None:
    read(row("a"))
    delete_faqs(kb, [faq_of(kb, "a")], admin_caller)
    assert not Entry.objects.filter(deleted=False).exists()
    read(row("a"))
    assert Entry.objects.filter(deleted=False, vectors__isnull=False).count() == 1
