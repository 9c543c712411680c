"""What a knowledge base keeps out when documents come in, and that the report says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.documents.drafts import drafts_of
from apps.retrieval.documents.incoming import BadSource
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.ingesting import ingest
from apps.retrieval.documents.screening import PlacedDraft
from apps.retrieval.documents.services import save_documents, set_status
from apps.retrieval.documents.sources import files_below, sources_in
from apps.retrieval.documents.withdrawals import restored, withdraw
from apps.retrieval.models import Document, Ingestion, IngestPolicy, KnowledgeBase, Withdrawal
from core.errors import NotFound
from tests.documents import put_document
from tests.ingested_rows import ingest_rows, prose, stored, told

Read = Callable[..., IngestReport]


@pytest.fixture
def read(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> Read:
    """Ingests rows {id: text} into `kb`."""

    def read_texts(texts: dict[str, str], caller: Caller = admin_caller) -> IngestReport:
        return ingest_rows(kb, ({"id": id, "text": text} for id, text in texts.items()), caller, tmp_path)

    return read_texts


def test_poor_text_is_left_out_with_the_reason(read: Read) -> None:
    menu = "\n".join(["Home | Login"] * 30)
    assert told(read({"a": "*** ---", "b": menu, "c": "Good."})) == [("1", "dropped", "too_short"), ("2", "dropped", "repeated_lines")]
    assert stored() == {"c"}


def test_blocked_words_keep_documents_out_once_they_are_switched_on(read: Read, kb: KnowledgeBase) -> None:
    texts = {"a": "A casino night.", "b": "Casinos are closed.", "c": "禁止网络赌博行为。"}
    policy = IngestPolicy.objects.create(kb=kb, blocked_words="casino\n赌博\n")
    assert told(read(texts)) == []
    policy.block_words = True
    policy.save()
    assert told(read(texts)) == [("1", "dropped", "blocked_word"), ("3", "dropped", "blocked_word")]
    assert stored() == {"b"}
    policy.blocked_words = "nothing"
    policy.save()
    assert told(read(texts)) == [("1", "noted", "restored"), ("3", "noted", "restored")]
    assert stored() == {"a", "b", "c"}


def block(kb: KnowledgeBase, *words: str) -> None:
    IngestPolicy.objects.update_or_create(kb=kb, defaults={"block_words": True, "blocked_words": "\n".join(words)})


def test_what_the_policy_takes_out_is_said_each_time_and_comes_back_as_it_was(read: Read, kb: KnowledgeBase) -> None:
    read({"a": "A casino night."})
    Document.objects.update(status="in_review")
    block(kb, "casino")
    taken, again = read({"a": "A casino night."}), read({"a": "A casino night."})
    assert taken.items[0].reason == "It holds 'casino', which the list of blocked words has. Its document was archived."
    assert again.items[0].reason == "It holds 'casino', which the list of blocked words has."
    block(kb)
    back = read({"a": "A casino night."})
    assert back.items[0].reason == "The policy that had archived it lets it in now: it is in_review again."
    assert (back.updated, Document.objects.get().status) == (1, "in_review")
    assert (read({"a": "A casino night."}).unchanged, Withdrawal.objects.count()) == (1, 0)


def test_what_the_policy_took_out_comes_back_with_what_changed_meanwhile(read: Read, kb: KnowledgeBase) -> None:
    block(kb, "casino")
    read({"a": "A quiet night."})
    read({"a": "A casino night."})
    assert stored() == set()
    assert told(read({"a": "Another quiet night."})) == [("1", "noted", "restored")]
    assert (stored(), Document.objects.get().text) == ({"a"}, "Another quiet night.")


def test_what_a_person_archived_stays_there_whatever_the_policy_says(read: Read, kb: KnowledgeBase, admin_caller: Caller) -> None:
    read({"a": "A casino night.", "b": "A second casino."})
    set_status(kb, [Document.objects.get(external_id="a")], Document.Status.ARCHIVED, admin_caller)
    block(kb, "casino")
    read({"a": "A casino night.", "b": "A second casino."})
    set_status(kb, [Document.objects.get(external_id="b")], Document.Status.ARCHIVED, admin_caller)
    block(kb)
    assert told(read({"a": "A casino night.", "b": "A second casino."})) == []
    assert stored() == set()


def test_what_a_person_published_and_archived_since_does_not_come_back(read: Read, kb: KnowledgeBase, admin_caller: Caller) -> None:
    read({"a": "A casino night."})
    block(kb, "casino")
    read({"a": "A casino night."})
    for status in (Document.Status.PUBLISHED, Document.Status.ARCHIVED):
        set_status(kb, [Document.objects.get()], status, admin_caller)
    block(kb)
    read({"a": "A casino night."})
    assert stored() == set()


@pytest.mark.parametrize(
    ("method", "body", "stays"),
    [
        ("put", {"text": "A casino night.", "status": "archived"}, True),
        ("patch", {"status": "archived"}, True),
        ("patch", {"title": "Night"}, False),
    ],
)
def test_archived_in_the_api_is_a_persons_word_where_the_request_says_so(
    read: Read, kb: KnowledgeBase, api: APIClient, method: str, body: dict[str, str], stays: bool
) -> None:
    read({"a": "A casino night."})
    block(kb, "casino")
    read({"a": "A casino night."})
    changed = getattr(api, method)("/api/v1/kbs/hr/documents/a/", body, format="json")
    assert (changed.status_code, changed.json()["status"]) == (200, "archived")
    block(kb)
    read({"a": "A casino night."})
    assert stored() == (set() if stays else {"a"})


def test_archived_in_a_row_is_a_persons_word_too(kb: KnowledgeBase, admin_caller: Caller, read: Read, tmp_path: Path) -> None:
    read({"a": "A casino night."})
    block(kb, "casino")
    read({"a": "A casino night."})
    block(kb)
    file = tmp_path / "stated.jsonl"
    file.write_text(json.dumps({"id": "a", "text": "A casino night.", "status": "archived"}), encoding="utf-8")
    ingest(kb, sources_in(files_below([file])), admin_caller)
    read({"a": "A casino night."})
    assert stored() == set()


def test_who_archives_it_while_the_policy_is_about_to_is_heard(read: Read, kb: KnowledgeBase, admin_caller: Caller) -> None:
    read({"a": "A casino night."})
    document, archived = Document.objects.get(), list[int]()

    def archive_first(execute: Callable[..., object], sql: str, *rest: object) -> object:
        if sql.startswith("SAVEPOINT") and not archived:
            archived.append(1)
            archived.append(set_status(kb, [document], Document.Status.ARCHIVED, admin_caller))
        return execute(sql, *rest)

    with connection.execute_wrapper(archive_first):
        assert not withdraw(kb, "a", admin_caller, Withdrawal.Reason.POLICY)
    assert (archived, Withdrawal.objects.count()) == ([1, 1], 0)


def test_who_archives_it_while_it_is_about_to_come_back_is_heard(read: Read, kb: KnowledgeBase, admin_caller: Caller) -> None:
    document = put_document(kb, "a", "A casino night.")
    assert withdraw(kb, "a", admin_caller, Withdrawal.Reason.POLICY)
    [coming] = restored(
        kb,
        [PlacedDraft("a", replace(draft, row=replace(draft.row, status=None))) for draft in drafts_of([document])],
        admin_caller,
        IngestReport(),
    )
    assert coming.draft.row.status == "published"
    set_status(kb, [document], Document.Status.ARCHIVED, admin_caller)
    save_documents(kb, [coming.draft], admin_caller)
    assert stored() == set()


def test_who_may_not_publish_brings_back_for_review(read: Read, kb: KnowledgeBase) -> None:
    read({"a": "A casino night."})
    block(kb, "casino")
    read({"a": "A casino night."})
    block(kb)
    report = read({"a": "A casino night."}, caller=Caller(name="user:2", role=AccessRole.EDITOR))
    assert report.items[0].reason == "The policy that had archived it lets it in now: it waits for a reviewer."
    assert Document.objects.get().status == "in_review"


def test_who_may_not_publish_withdraws_nothing_either(read: Read, kb: KnowledgeBase) -> None:
    read({"a": "A casino night."})
    IngestPolicy.objects.create(kb=kb, blocked_words="casino", block_words=True)
    report = read({"a": "A casino night."}, caller=Caller(name="user:2", role=AccessRole.EDITOR))
    assert (report.bad_count, stored()) == (1, {"a"})


def test_wrongly_decoded_text_is_put_right(read: Read, kb: KnowledgeBase) -> None:
    read({"a": "Itâ€™s the cafÃ©. 年假有十天。"})
    assert Document.objects.get().text == "It’s the café. 年假有十天。"
    IngestPolicy.objects.create(kb=kb, repair_encoding=False)
    read({"a": "Itâ€™s the cafÃ©. 年假有十天。"})
    assert Document.objects.get().text.startswith("Itâ€™s")


def test_every_run_is_kept_with_its_report(read: Read, kb: KnowledgeBase) -> None:
    read({"a": "Good.", "b": "***"})
    run = Ingestion.objects.get()
    assert (run.actor, run.created, run.dropped, run.codes, run.error) == ("user:1", 1, 1, {"too_short": 1}, "")
    assert run.items[0]["place"] == "row 2 of rows.jsonl"
    assert run.finished_at and run.finished_at >= run.started_at


def test_a_run_that_fails_says_so(kb: KnowledgeBase, admin_caller: Caller) -> None:
    def sources():  # type: ignore[no-untyped-def]
        yield BadSource(place="x", problem="It is bad.")
        raise NotFound("The folder is gone.")

    with pytest.raises(NotFound):
        ingest(kb, sources(), admin_caller)
    run = Ingestion.objects.get()
    assert (run.bad, run.error) == (0, "The folder is gone.")


def test_reports_and_policy_over_http(read: Read, api: APIClient, client_with_role: Callable[..., APIClient]) -> None:
    read({"a": "Good.", "b": "***"})
    listed = api.get("/api/v1/kbs/hr/ingestions/").json()["results"]
    assert [(run["created"], run["dropped"]) for run in listed] == [(1, 1)]
    one = api.get(f"/api/v1/kbs/hr/ingestions/{listed[0]['id']}/").json()
    assert one["items"][0] | {"code": "too_short", "outcome": "dropped"} == one["items"][0]
    policy = api.get("/api/v1/kbs/hr/ingest-policy/").json()
    assert (policy["duplicates"], policy["block_words"]) == ("drop", False)
    changed = api.patch(
        "/api/v1/kbs/hr/ingest-policy/", {"block_words": True, "blocked_words": ["good"], "min_chars": 2}, format="json"
    ).json()
    assert changed == policy | {"block_words": True, "blocked_words": ["good"], "min_chars": 2}
    assert read({"a": "Good."}).dropped_count == 1
    for body in (
        {"duplicates": "dance"},
        {"min_chars": -1},
        {"min_chars": True},
        {"block_words": "yes"},
        {"blocked_words": "x"},
        {"near_duplicate": "drop"},
        ["x"],
    ):
        assert api.patch("/api/v1/kbs/hr/ingest-policy/", body, format="json").status_code == 400
    assert client_with_role("editor").patch("/api/v1/kbs/hr/ingest-policy/", {"min_chars": 1}, format="json").status_code == 403
    assert api.get("/api/v1/kbs/hr/ingestions/999999/").status_code == 404


def page(number: int) -> str:
    menu = "<ul><li>Home</li><li>Contact the office</li></ul>"
    body = f"<p>{prose(number, 80)}</p><p>{prose(number + 100, 80)}</p>"
    return f"<html><body>{menu}<p>This site uses cookies for everything it does.</p>{body}<p>Copyright of the office</p></body></html>"


def test_what_every_page_of_a_site_repeats_is_left_out(kb: KnowledgeBase, admin_caller: Caller, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    for number in range(8):
        (folder / f"p{number}.html").write_text(page(number), encoding="utf-8")
    ingest(kb, sources_in(files_below([folder])), admin_caller)
    (folder / "late.html").write_text(page(50), encoding="utf-8")
    report = ingest(kb, sources_in(files_below([folder])), admin_caller)
    texts = dict(Document.objects.values_list("external_id", "text"))
    assert (len(texts), report.created, report.unchanged) == (9, 1, 8)
    for id, text in texts.items():
        number = 50 if "late" in id else int(id[-6])
        assert "cookies" not in text and "Copyright" not in text
        assert prose(number, 80) in text and prose(number + 100, 80) in text
    IngestPolicy.objects.create(kb=kb, drop_site_lines=False)
    ingest(kb, sources_in(files_below([folder])), admin_caller)
    assert all("cookies" in text for text in Document.objects.values_list("text", flat=True))
