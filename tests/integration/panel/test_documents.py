"""The panel's pages for documents: curators find, edit, move and delete them, see their passages and what ingestions left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from apps.accounts.permissions import Caller
from apps.retrieval.documents.incoming import BadSource
from apps.retrieval.documents.ingesting import ingest
from apps.retrieval.documents.withdrawals import withdraw
from apps.retrieval.models import Document, Ingestion, IngestPolicy, KnowledgeBase, Passage, Withdrawal
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.selectors import scope_of
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from core.types import SearchMode
from tests.documents import put_document, put_documents
from tests.jobs import run_to_the_end
from tests.panel import SignIn

LIST = "/admin/retrieval/document/"


def ids_shown(client: Client, query: str = "") -> list[str]:
    """The ids of the documents that the list shows, sorted."""
    return sorted(document.external_id for document in client.get(f"{LIST}?{query}").context["cl"].result_list)


def found(kb: KnowledgeBase, words: str) -> list[str]:
    """The ids of the documents that words find."""
    hits = search_passages(words, None, scope_of([kb], groups=None), mode=SearchMode.LEXICAL).hits
    return [hit.passage.document for hit in hits]


def form_of(document: Document, **changes: str) -> dict[str, str]:
    """What the browser sends when nothing but `changes` was typed."""
    sent = {name: getattr(document, name) for name in ("title", "url", "language", "author", "category", "status")}
    more = {"text": document.text.replace("\n", "\r\n"), "tags": ", ".join(document.tags), "access": ", ".join(document.access)}
    day = document.date.isoformat() if document.date else ""
    return {**sent, **more, "date": day, "seen": document.updated_at.isoformat(), **changes}


def act(client: Client, action: str, *documents: Document) -> None:
    chosen = [document.pk for document in documents]
    client.post(LIST, {"action": action, "_selected_action": chosen, "post": "yes"}, follow=True)


# Finding


def test_the_list_is_narrowed_by_what_documents_are_filed_under(sign_in: SignIn, kb: KnowledgeBase) -> None:
    put_document(kb, "a", "Alpha", title="Trains and hotels", category="travel", tags=("出差", "rail"), language="zh", day="2026-03-01")
    put_document(kb, "b", "Beta", category="news", language="en", status="draft", day="2026-05-01")
    client = sign_in("viewer")
    for query in (
        "category=travel",
        "tag=rail",
        "tag=出差",
        "language=zh",
        "status=published",
        "date_to=2026-04-01",
        "q=hotels+trains",
        f"kb={kb.slug}&q=a",
    ):
        assert ids_shown(client, query) == ["a"], query
    assert ids_shown(client, "tag=-") == ["b"]


def test_a_list_of_forty_costs_as_many_queries_as_one_of_two(
    sign_in: SignIn, kb: KnowledgeBase, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    put_documents(kb, **{f"d{number}": f"Text number {number}" for number in range(40)})
    client = sign_in("viewer")
    with django_assert_max_num_queries(25):  # type: ignore[attr-defined]
        assert len(ids_shown(client)) == 40


def test_documents_of_other_bases_do_not_exist_for_the_reader(sign_in: SignIn, kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    secret = put_document(other, "secret", "Nobody here may read this.")
    client = sign_in("admin")
    assert ids_shown(client) == []
    assert client.get(f"{LIST}{secret.pk}/change/").status_code == 302
    passage = Passage.objects.get(document=secret)
    assert (
        client.post(reverse("admin:retrieval_document_questions", args=[secret.pk, passage.pk]), {"questions": "Mine?"}).status_code == 404
    )
    assert not passage.questions.exists()


# Changing


def test_an_edit_of_the_fields_leaves_the_passages_as_they_are(sign_in: SignIn, kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", "First line.\n\nSecond paragraph.", title="Old")
    before = list(document.passages.values_list("pk", "start", "end"))
    sign_in("reviewer").post(f"{LIST}{document.pk}/change/", form_of(document, title="New", tags="a， b", date="2026-02-03"))
    document.refresh_from_db()
    assert (document.title, document.tags, str(document.date)) == ("New", ["a", "b"], "2026-02-03")
    assert [row[1:] for row in document.passages.values_list("pk", "start", "end")] == [row[1:] for row in before]
    assert document.text == "First line.\n\nSecond paragraph."


def test_a_text_that_was_rewritten_is_found_by_its_new_words(sign_in: SignIn, kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", "The canteen opens at noon.")
    sign_in("reviewer").post(f"{LIST}{document.pk}/change/", form_of(document, text="The library opens at nine."))
    assert (found(kb, "library"), found(kb, "canteen")) == (["a"], [])


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(sign_in: SignIn, kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", "The canteen opens at noon.", title="First")
    stale = form_of(document, title="Mine")
    put_document(kb, "a", "The canteen opens at noon.", title="Theirs")
    page = sign_in("reviewer").post(f"{LIST}{document.pk}/change/", stale)
    assert "Somebody else has changed this document" in page.content.decode()
    assert Document.objects.get(pk=document.pk).title == "Theirs"


@pytest.mark.parametrize(
    ("field", "value"), [("url", "javascript:alert(1)"), ("language", "klingon!"), ("tags", ",".join(map(str, range(60))))]
)
def test_a_field_that_cannot_be_is_refused_on_the_form(sign_in: SignIn, kb: KnowledgeBase, field: str, value: str) -> None:
    document = put_document(kb, "a", "The canteen opens at noon.")
    page = sign_in("reviewer").post(f"{LIST}{document.pk}/change/", form_of(document, **{field: value}))
    assert page.status_code == 200
    assert field in page.context["adminform"].form.errors


def test_a_new_document_of_an_editor_waits_for_a_reviewer(sign_in: SignIn, kb: KnowledgeBase) -> None:
    sent = {"kb": str(kb.pk), "title": "Parking", "text": "Park on level two.", "status": "in_review"}
    page = sign_in("editor").post(f"{LIST}add/", sent, follow=True)
    assert "waits for a reviewer" in page.content.decode()
    assert Document.objects.get(title="Parking").status == "in_review"
    assert found(kb, "parking") == []


def test_an_editor_touches_nothing_that_is_published(sign_in: SignIn, kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", "The canteen opens at noon.")
    client = sign_in("editor")
    assert client.post(f"{LIST}{document.pk}/change/", form_of(document, title="Mine")).status_code == 403
    act(client, "archive", document)
    act(client, "read_again", document)
    act(client, "delete_selected", document)
    assert found(kb, "canteen") == ["a"]


def test_many_are_archived_published_and_deleted_at_once(sign_in: SignIn, kb: KnowledgeBase) -> None:
    documents = put_documents(kb, a="The canteen opens at noon.", b="The canteen closes at two.", c="The canteen is full.")
    client = sign_in("reviewer")
    act(client, "archive", documents["a"], documents["b"])
    assert found(kb, "canteen") == ["c"]
    act(client, "publish", documents["a"])
    assert sorted(found(kb, "canteen")) == ["a", "c"]
    act(client, "delete_selected", documents["a"], documents["c"])
    assert found(kb, "canteen") == []
    assert list(Document.objects.values_list("external_id", flat=True)) == ["b"]


def test_a_document_that_is_to_be_read_again_counts_as_changed(sign_in: SignIn, kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", "The canteen opens at noon.")
    Document.objects.filter(pk=document.pk).update(source_sha256="1" * 64)
    act(sign_in("reviewer"), "read_again", document)
    assert Document.objects.get(pk=document.pk).source_sha256 == ""


# Passages and copies


def test_a_question_written_at_a_passage_finds_it(sign_in: SignIn, kb: KnowledgeBase) -> None:
    document = put_document(kb, "a", "The canteen opens at noon.")
    passage = document.passages.get()
    address = reverse("admin:retrieval_document_questions", args=[document.pk, passage.pk])
    page = sign_in("reviewer").post(address, {"questions": "When is lunch served?\r\n\r\n"}, follow=True)
    assert "When is lunch served?" in page.content.decode()
    assert found(kb, "lunch") == ["a"]


def test_copies_are_shown_on_the_page_of_a_document(sign_in: SignIn, kb: KnowledgeBase) -> None:
    text = "".join(f"Sentence number {number} about the travel rules of the company. " for number in range(12))
    first, _same, _near = put_document(kb, "first", text), put_document(kb, "same", text), put_document(kb, "near", text + "The end")
    shown = sign_in("viewer").get(f"{LIST}{first.pk}/change/").context["below"]()
    assert [one.external_id for one in shown["same"]] == ["same"]
    assert [one.external_id for one in shown["near"]] == ["near"]


# Policy and reports


def test_a_policy_is_set_by_who_may_publish(sign_in: SignIn, kb: KnowledgeBase) -> None:
    sent = {
        "kb": str(kb.pk),
        "duplicates": "report",
        "near_duplicates": "keep",
        "min_chars": "20",
        "block_words": "on",
        "blocked_words": "Secret\r\n密级",
    }
    assert sign_in("editor").post("/admin/retrieval/ingestpolicy/add/", sent).status_code == 403
    sign_in("reviewer").post("/admin/retrieval/ingestpolicy/add/", sent)
    policy = IngestPolicy.objects.get(kb=kb)
    assert (policy.duplicates, policy.min_chars, policy.drop_poor) == ("report", 20, False)
    assert policy.blocked_words.splitlines() == ["Secret", "密级"]


def test_a_report_says_in_the_readers_language_what_was_left_out(sign_in: SignIn, kb: KnowledgeBase, admin_caller: Caller) -> None:
    bad = [BadSource(place=place, problem="`text` is empty.") for place in ("row 1", "row 2", "row 7 of 新闻.jsonl")]
    ingest(
        kb,
        [*bad, BadSource(place="scan.pdf", problem="its pages hold no text. Remove the password and try again.")],
        admin_caller,
    )
    run = Ingestion.objects.get()
    page = sign_in("viewer", language="zh-hans").get(f"/admin/retrieval/ingestion/{run.pk}/change/")
    assert [(bar.name, bar.count) for bar in page.context["bars"]] == [("无法读取", 4)]
    assert [item["place"] for item in page.context["items"]] == ["第 1 行", "第 2 行", "新闻.jsonl 第 7 行", "scan.pdf"]
    assert "它的页面没有文字。请去掉密码后再试。" in page.content.decode()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Withdrawal.Reason.POLICY, "The policy of the knowledge base archived this document."),
        (Withdrawal.Reason.GONE, "The page of this document was gone, so it was archived."),
    ],
)
def test_a_document_that_was_taken_out_says_why_until_a_person_archives_it(
    sign_in: SignIn, kb: KnowledgeBase, admin_caller: Caller, reason: Withdrawal.Reason, said: str
) -> None:
    document = put_document(kb, "a", "A casino night.")
    assert withdraw(kb, "a", admin_caller, reason)
    client, address = sign_in("reviewer"), reverse("admin:retrieval_document_change", args=[document.pk])
    assert said in client.get(address).content.decode()
    act(client, "archive", document)
    assert "archive it once more in the list" not in client.get(address).content.decode()


def test_a_report_is_narrowed_to_one_reason(sign_in: SignIn, kb: KnowledgeBase) -> None:
    items = [
        {"place": f"p{number}", "outcome": "dropped", "code": code, "reason": "x"} for number, code in enumerate(["symbols", "duplicate"])
    ]
    run = Ingestion.objects.create(kb=kb, dropped=2, items=items, codes={"symbols": 1, "duplicate": 1})
    page = sign_in("viewer").get(f"/admin/retrieval/ingestion/{run.pk}/change/?code=symbols")
    assert [item["place"] for item in page.context["items"]] == ["p0"]


# Uploads

UPLOAD = f"{LIST}upload/"


def upload(client: Client, kb: KnowledgeBase, **files: bytes) -> HttpResponse:
    sent = [SimpleUploadedFile(name.replace("_", "."), data) for name, data in files.items()]
    return client.post(UPLOAD, {"kb": kb.pk, "files": sent}, follow=True)


def test_files_that_are_uploaded_are_read_in_the_background(sign_in: SignIn, kb: KnowledgeBase) -> None:
    page = upload(sign_in("reviewer"), kb, canteen_txt=b"The canteen opens at noon.", library_md=b"# Library\n\nUpstairs.")
    assert "read in the background" in page.content.decode()
    assert page.redirect_chain[-1][0] == f"{reverse('jobs-page')}?kb={kb.slug}"  # type: ignore[attr-defined]
    assert found(kb, "canteen") == []
    run_to_the_end(JobRunner(0))
    assert sorted(Document.objects.values_list("external_id", "status")) == [("canteen.txt", "published"), ("library.md", "published")]
    assert found(kb, "canteen") == ["canteen.txt"]


def test_the_buttons_above_a_narrowed_list_lead_to_forms_for_its_base(sign_in: SignIn, kb: KnowledgeBase) -> None:
    KnowledgeBase.objects.create(slug="second", name="Second")
    client = sign_in("editor")
    page = client.get(f"{LIST}?kb={kb.slug}")
    assert [button["path"] for button in page.context["actions_list"]] == [f"{LIST}files/?kb={kb.slug}", f"{LIST}pages/?kb={kb.slug}"]
    for button in page.context["actions_list"]:
        assert client.get(button["path"], follow=True).context["form"].initial["kb"] == kb.pk


def test_an_empty_list_offers_the_upload(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("editor")
    empty, narrowed = client.get(LIST).content.decode(), client.get(f"{LIST}?status=draft").content.decode()
    assert "There is nothing here yet." in empty and empty.count(f'href="{LIST}files/"') >= 2
    assert "Nothing matches the search and the filters." in narrowed and "Show everything" in narrowed


def test_what_an_editor_uploads_waits_for_a_reviewer(sign_in: SignIn, kb: KnowledgeBase) -> None:
    upload(sign_in("editor"), kb, canteen_txt=b"The canteen opens at noon.")
    run_to_the_end(JobRunner(0))
    assert Document.objects.get().status == "in_review"


def test_a_file_over_the_limit_is_refused_before_anything_is_kept(
    sign_in: SignIn, kb: KnowledgeBase, configure: Callable[..., None]
) -> None:
    configure(parse_max_file_mb=1)
    page = upload(sign_in("editor"), kb, a_txt=b"small", b_txt=b"x" * (2**20 + 1))
    assert "b.txt is larger than 1 MiB." in page.content.decode()
    assert not Job.objects.exists()


def test_the_page_promises_no_more_than_the_server_takes_in_one_request(
    sign_in: SignIn, kb: KnowledgeBase, configure: Callable[..., None]
) -> None:
    configure(parse_max_file_mb=100, upload_max_mb=50)
    assert "up to 50 MiB each, 1000 files and 50 MiB at once" in sign_in("editor").get(UPLOAD).content.decode()


def test_nobody_uploads_into_a_base_of_others(sign_in: SignIn, kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    upload(sign_in("editor"), other, a_txt=b"text")
    assert not Job.objects.exists()
    assert sign_in("viewer").get(UPLOAD).status_code == 403
