"""Documents come in: rows and files, again and again, and what changes of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.documents import ingesting
from apps.retrieval.documents.ingest_report import IngestReport, Outcome
from apps.retrieval.documents.ingesting import ingest
from apps.retrieval.documents.readings import Reading, draft_of, reading_of_row
from apps.retrieval.documents.rows import DocumentRow, parse_document
from apps.retrieval.documents.services import save_documents
from apps.retrieval.documents.sources import files_below, sources_in
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Document, Entry, Ingestion, KnowledgeBase, Passage
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.verification import find_drift, repair
from apps.retrieval.parsing.parsed import Block, BlockKind
from core.backends import use_backend
from core.config import get_settings
from core.errors import NotFound
from core.types import EntryKind, Filters, FloatArray, Role, Scope
from tests import sample_files
from tests.documents import WRITER
from tests.encoders import HashingEncoder

Read = Callable[..., IngestReport]
LONG = "The committee met again and agreed on the budget of the next year. " * 45


@pytest.fixture
def read(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> Read:
    """Ingests rows of a jsonl file into `kb`."""

    def ingest_rows(*rows: object, caller: Caller = admin_caller) -> IngestReport:
        file = tmp_path / "rows.jsonl"
        file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
        return ingest(kb, sources_in(files_below([file])), caller)

    return ingest_rows


def row(key: str, text: str = "十天年假。", **more: object) -> dict[str, object]:
    return {"id": key, "title": f"Title {key}", "text": f"{text} {key}", **more}


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.bad_count


def found(kb: KnowledgeBase, words: str, filters: Filters | None = None) -> list[str]:
    """The ids of the documents that words find."""
    kb.refresh_from_db()
    follower().follow(kb.pk, kb.revision)
    hits = indexes_for(EntryKind.PASSAGE).lexical.search(words, 20, Scope(kb_ids=(kb.pk,)), filters or Filters())
    owners = dict(Passage.objects.values_list("pk", "document__external_id"))
    return [owners.get(hit.id, "gone") for hit in hits]


def test_rows_are_created_then_updated_then_unchanged(read: Read) -> None:
    assert counts(read(row("a"), row("b"))) == (2, 0, 0, 0)
    assert counts(read(row("a"), row("b", "改了。"), row("c"))) == (1, 1, 1, 0)


def test_ingested_rows_are_found_by_words_and_by_vectors(read: Read, kb: KnowledgeBase, encoder: HashingEncoder) -> None:
    read({"id": "x", "title": "年假", "text": "在系统里申请。", "date": "2026-03-31", "tags": ["hr"]}, row("y", "Something else."))
    assert found(kb, "申请") == ["x"]
    wanted = Passage.objects.get(document__external_id="x").pk
    index = indexes_for(EntryKind.PASSAGE).vector.made_by(encoder.model_id)
    near = index.search(encoder.encode_query("年假\n在系统里申请").vector, 1, Scope(kb_ids=(kb.pk,)))
    assert near[0].id == wanted
    entry = Entry.objects.get(owner_id=wanted)
    assert (entry.text, entry.terms) == ("年假\n在系统里申请。", ["lang=zh", "tag=hr", "access=*"])


def test_unchanged_rows_cost_no_encoding_and_few_queries(read: Read, encoder: HashingEncoder) -> None:
    rows = [row(str(number)) for number in range(50)]
    read(*rows)
    encoded = encoder.texts_encoded
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert counts(read(*rows)) == (0, 0, 50, 0)
    assert encoder.texts_encoded == encoded
    assert len(queries) <= 8  # the policy, one look-up, the report


def test_queries_do_not_grow_with_the_rows_of_a_piece(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingesting, "FIRST_PASSAGES", 100)

    def cost(rows: list[dict[str, object]]) -> int:
        with CaptureQueriesContext(connection) as queries:
            read(*rows)
        return len(queries)

    read(row("first"))
    few, many = cost([row(f"a{number}") for number in range(5)]), cost([row(f"b{number}") for number in range(100)])
    assert many <= few + 3  # SQLite takes so many parameters at once


def test_bad_rows_are_listed_and_good_ones_kept(read: Read) -> None:
    report = read(row("a"), "{broken", {"id": "b"}, {"id": "c", "text": "  "}, row("a"), row("d"), row("e", date=5))
    assert counts(report) == (2, 0, 0, 5)
    assert {bad.place.split()[1]: bad.reason.split(".")[0][:36] for bad in report.of(Outcome.BAD)} == {
        "2": "The line is not JSON: a name in doub",
        "3": "`text` is missing",
        "4": "`text` is empty",
        "5": "The id 'a' was there before; the fir",
        "7": "`date` must be a date such as 2026-0",
    }


def test_a_date_that_cannot_be_read_is_left_out_and_said(read: Read, kb: KnowledgeBase) -> None:
    report = read(row("a", date="7-20 01:59"), row("b", date="2023-07-28 16：40"), row("c", date=" 2023/07/28  16:40 "))
    assert counts(report) == (3, 0, 0, 0)
    assert dict(Document.objects.values_list("external_id", "date")) == {"a": None, "b": date(2023, 7, 28), "c": date(2023, 7, 28)}
    assert [item.reason.split(":")[0] for item in report.of(Outcome.NOTED)] == ["Its date '7-20 01"]


def test_a_changed_document_keeps_the_passages_that_did_not_change(read: Read, encoder: HashingEncoder, kb: KnowledgeBase) -> None:
    paragraphs = [f"Part {number}. {LONG[:900]}" for number in range(8)]
    read({"id": "a", "text": "\n\n".join(paragraphs)})
    before = dict(Passage.objects.values_list("text", "pk"))
    encoded = encoder.texts_encoded
    read({"id": "a", "text": "\n\n".join([*paragraphs, "A new zebra at the end."])})
    after = dict(Passage.objects.values_list("text", "pk"))
    kept = before.keys() & after.keys()
    assert len(kept) >= 2 and all(before[text] == after[text] for text in kept)
    assert encoder.texts_encoded - encoded == len(after) - len(kept)
    assert list(Passage.objects.order_by("start").values_list("number", flat=True)) == list(range(len(after)))
    assert found(kb, "zebra") == ["a"]
    assert not any(drift.count for drift in find_drift(kb))


def test_a_passage_that_moves_to_another_page_is_cited_there(kb: KnowledgeBase, encoder: HashingEncoder) -> None:
    for page in (3, 4):
        block = Block(kind=BlockKind.PARAGRAPH, text="Annual leave is ten days.", page=page)
        saved = save_documents(kb, [draft_of(Reading(row=DocumentRow(id="a.pdf", text=""), blocks=(block,)))], WRITER)
    assert (Passage.objects.get().page, saved.updated, encoder.texts_encoded) == (4, 1, 1)


def test_what_a_document_no_longer_says_is_no_longer_found(read: Read, kb: KnowledgeBase) -> None:
    read(row("a", "A walrus lives here."), row("b"))
    assert found(kb, "walrus") == ["a"]
    read(row("a", "A heron lives here."), row("b"))
    assert (found(kb, "walrus"), found(kb, "heron")) == ([], ["a"])


def test_other_tags_are_found_without_encoding_again(read: Read, kb: KnowledgeBase, encoder: HashingEncoder) -> None:
    read(row("a", "A walrus lives here.", tags=["sea"]))
    encoded = encoder.texts_encoded
    read(row("a", "A walrus lives here.", tags=["ice"]))
    ice, sea = (Filters(any_of=(frozenset({f"tag={tag}"}),)) for tag in ("ice", "sea"))
    assert (found(kb, "walrus", ice), found(kb, "walrus", sea)) == (["a"], [])
    assert encoder.texts_encoded == encoded
    assert not any(drift.count for drift in find_drift(kb))


def test_what_was_archived_stays_archived_when_its_row_changes(read: Read, kb: KnowledgeBase) -> None:
    read(row("a", "A walrus lives here.", status="archived"))
    read(row("a", "A walrus lived here."))
    assert Document.objects.get().status == "archived"
    assert found(kb, "walrus") == []


def test_an_editor_proposes_and_may_not_touch_what_is_published(read: Read, kb: KnowledgeBase) -> None:
    editor = Caller(name="user:2", role=AccessRole.EDITOR)
    read(row("a", "A walrus lives here."))
    report = read(row("a", "Changed walrus."), row("b", "A new walrus."), caller=editor)
    assert counts(report) == (1, 0, 0, 1)
    assert Document.objects.get(external_id="b").status == "in_review"
    assert found(kb, "walrus") == ["a"]


def test_files_of_a_folder_are_documents_named_by_their_path(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_text("A walrus lives here.", encoding="utf-8")
    (tmp_path / "docs" / "deep" / "b 文.md").write_text("# Birds\n\nA heron lives here.", encoding="utf-8")
    (tmp_path / "docs" / ".hidden").write_text("no", encoding="utf-8")
    (tmp_path / "docs" / "c.exe").write_bytes(b"MZ\x00")
    report = ingest(kb, sources_in(files_below([tmp_path / "docs"])), admin_caller)
    assert counts(report) == (2, 0, 0, 1)
    assert report.items[0].place == "docs/c.exe"
    assert (found(kb, "walrus"), found(kb, "heron")) == (["docs/a.txt"], ["docs/deep/b 文.md"])


def test_a_field_that_no_document_has_is_told_of_the_first_row_that_has_it(read: Read) -> None:
    rows = [row("a"), row("b", acess=["board"]), row("c", acess=["board"], date="soon"), row("d", source="crm")]
    report = read(*rows)
    told = [(item.place, item.reason.split(". ")[0]) for item in report.items if "not read" in item.reason]
    assert told == [
        ("row 2 of rows.jsonl", "These fields are not read: acess"),
        ("row 4 of rows.jsonl", "These fields are not read: source"),
    ]
    assert (report.created, report.bad_count) == (4, 0)
    assert read(*rows).noted_count == 0


def test_the_command_tells_what_became_of_the_rows(kb: KnowledgeBase, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row("a")) + "\n{broken\n", encoding="utf-8")
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("ingest", "--kb", "hr", str(file), stdout=out, stderr=err)
    assert failed.value.returncode == 1
    assert out.getvalue() == "1 created, 0 updated, 0 unchanged, 0 left out, 1 bad.\n"
    assert err.getvalue().startswith("row 2 of rows.jsonl: The line is not JSON")


def ingest_folder(folder: Path, *options: str) -> str:
    """What the command says to the standard error."""
    err = StringIO()
    call_command("ingest", "--kb", "hr", str(folder), *options, stdout=StringIO(), stderr=err)
    return err.getvalue()


@pytest.fixture
def pages(kb: KnowledgeBase, tmp_path: Path) -> Path:
    """A folder of three files that is in, beside a row and a document that only look as if they came from it."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, sentence in (("a", "Keys are kept at the gate. "), ("b", "Soup is served at noon. "), ("c", "Birds fly south in autumn. ")):
        (folder / f"{name}.md").write_text(f"# Title {name}\n\n{sentence * 20}")
    (folder / "rows.jsonl").write_text(json.dumps(row("pages/row")))
    (folder / "all.zip").write_bytes(sample_files.zipped({"in.md": b"# Inside\n\nAn archive."}))
    ingest_folder(folder)
    (folder / "rows.jsonl").unlink()
    Document.objects.create(kb=kb, external_id="PAGES/a.md", text="Another folder.", media_type="text/markdown", status="published")
    return folder


def test_documents_of_files_that_are_gone_stay_and_are_told_once(pages: Path) -> None:
    (pages / "a.md").unlink()
    (pages / "b.md").unlink()
    told = ingest_folder(pages).strip()
    assert told.startswith("pages/a.md and 1 more: note: There is no such file any more.") and "\n" not in told
    assert Document.objects.filter(status="published").count() == 6


def test_a_file_that_was_renamed_takes_the_place_of_what_it_was(pages: Path) -> None:
    (pages / "a.md").rename(pages / "z.md")
    assert "pages/a.md: left out: There is no such file any more. Its document was deleted." in ingest_folder(pages, "--gone", "delete")
    ids = ["PAGES/a.md", "pages/all.zip/in.md", "pages/b.md", "pages/c.md", "pages/row", "pages/z.md"]
    assert sorted(Document.objects.values_list("external_id", flat=True)) == ids


def test_a_document_that_was_archived_with_its_file_comes_back_with_it(pages: Path) -> None:
    text = (pages / "a.md").read_bytes()
    (pages / "a.md").unlink()
    ingest_folder(pages, "--gone", "archive")
    assert Document.objects.get(external_id="pages/a.md").status == "archived"
    assert ingest_folder(pages, "--gone", "archive") == ""
    (pages / "a.md").write_bytes(text)
    ingest_folder(pages)
    assert Document.objects.get(external_id="pages/a.md").status == "published"


def test_the_command_refuses_a_path_that_leads_nowhere(kb: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="neither a file nor a folder"):
        call_command("ingest", "--kb", "hr", str(tmp_path / "none"))


def test_repair_brings_back_lost_entries_with_what_they_are_filtered_by(read: Read, kb: KnowledgeBase) -> None:
    read(row("a", "A walrus lives here.", tags=["sea"]))
    Entry.objects.all().delete()
    repair(kb, find_drift(kb))
    assert found(kb, "walrus", Filters(any_of=(frozenset({"tag=sea"}),))) == ["a"]
    assert not any(drift.count for drift in find_drift(kb))


def test_files_of_every_format_and_those_of_archives_come_in(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> None:
    for name, data in {**sample_files.VALID, "z.zip": sample_files.archive}.items():
        (tmp_path / name).write_bytes(data())
    files = files_below([tmp_path])
    report = ingest(kb, sources_in(files), admin_caller)
    copies = 2  # two files of the archive lie beside it, too
    assert (*counts(report), report.dropped_count) == (len(sample_files.VALID) - 1 + 3 + 3 - copies, 0, 0, 0, copies)
    root = tmp_path.resolve().name
    inner = Document.objects.get(external_id=f"{root}/z.zip/inner.zip/c.csv")
    assert (inner.title, inner.media_type) == ("c", "text/csv")
    word = Document.objects.get(external_id=f"{root}/a.docx")
    assert (word.title, word.author, str(word.date), word.language) == ("员工手册", "Zhang", "2024-03-05", "zh")
    assert counts(ingest(kb, sources_in(files), admin_caller)) == (0, 0, report.created, 0)


def test_files_that_cannot_be_read_are_named_and_the_others_come_in(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> None:
    for name in ("locked.pdf", "bomb.zip", "outside.zip", "laughs.docx"):
        (tmp_path / name).write_bytes(sample_files.HOSTILE[name]())
    (tmp_path / "good.txt").write_text("A walrus lives here.")
    report = ingest(
        kb,
        sources_in([(tmp_path / name, name) for name in ("locked.pdf", "bomb.zip", "outside.zip", "laughs.docx", "good.txt")]),
        admin_caller,
    )
    assert counts(report) == (1, 0, 0, 6)
    assert [bad.place for bad in report.items if "password" in bad.reason] == ["locked.pdf"]
    assert found(kb, "walrus") == ["good.txt"]


class StoppedEncoder(HashingEncoder):
    """Ends the run after so many texts, as a signal would."""

    def __init__(self, texts: int) -> None:
        super().__init__()
        self.left = texts

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
        self.left -= len(texts)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().encode_tokens(texts, role)


def test_a_run_that_is_stopped_goes_on_where_it_ended(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row(f"d{number}", "Ten days.")) for number in range(700)), encoding="utf-8")
    for _ in range(2):
        use_backend(get_settings().encoder_backend, StoppedEncoder(texts=300))
        with pytest.raises(KeyboardInterrupt):
            ingest(kb, sources_in(files_below([file])), admin_caller)
    assert 0 < Document.objects.count() < 700
    use_backend(get_settings().encoder_backend, HashingEncoder())
    report = ingest(kb, sources_in(files_below([file])), admin_caller)
    assert (report.created + report.unchanged, report.updated, Document.objects.count(), Passage.objects.count()) == (700, 0, 700, 700)
    assert report.unchanged > 0
    assert not any(drift.count for drift in find_drift(kb))
    assert list(Ingestion.objects.order_by("pk").values_list("error", flat=True)) == ["KeyboardInterrupt", "KeyboardInterrupt", ""]


def test_a_row_that_is_nested_beyond_measure_costs_itself_alone(read: Read) -> None:
    report = read(row("a"), '{"id": "deep", "text": "x", "more": ' + "[" * 300 + "]" * 300 + "}", row("b"))
    assert counts(report) == (2, 0, 0, 1)
    assert [(item.place, "nested" in item.reason) for item in report.of(Outcome.BAD)] == [("row 2 of rows.jsonl", True)]


def test_a_long_document_is_replaced_without_comparing_each_passage_with_each(
    read: Read, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(row("long", "\n\n".join(f"第{number}条：" + "规定。" * 100 for number in range(60))))
    hashed, real = [0], Passage.__hash__

    def count(passage: Passage) -> int:
        hashed[0] += 1
        return real(passage)

    monkeypatch.setattr(Passage, "__hash__", count)
    passages = Passage.objects.count()
    read(row("long", "All of it says something else now."))
    assert passages > 50 and hashed[0] < 10 * passages


def test_files_whose_names_are_no_text_come_in_and_are_named(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"Coffee is free.")
    (folder / os.fsdecode(b"\xff.bin")).write_bytes(bytes(range(9)))
    report = ingest(kb, sources_in(files_below([folder])), admin_caller)
    assert counts(report) == (1, 0, 0, 1)
    assert [item["place"] for item in Ingestion.objects.get().items] == ["folder/\ufffd.bin"]


def test_a_base_that_is_deleted_while_its_documents_are_encoded_is_simply_not_there(
    kb: KnowledgeBase, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = draft_of(reading_of_row(parse_document(row("a"))))
    with pytest.raises(NotFound, match="knowledge base"):
        save_documents(kb, [draft], admin_caller, check=lambda: KnowledgeBase.objects.filter(pk=kb.pk).delete())
