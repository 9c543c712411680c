"""Curating documents over HTTP: who may do what, and that a change is found at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from apps.accounts.commands import command_caller
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.ingesting import ingest
from apps.retrieval.documents.passage_questions import save_questions
from apps.retrieval.documents.services import set_status
from apps.retrieval.documents.sources import files_below, sources_in
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Document, KnowledgeBase, Passage, PassageQuestion
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.verification import find_drift
from apps.retrieval.vectors.encoding import encode_in_batches
from core.errors import NotFound
from core.types import EntryKind, Filters, Scope
from tests.documents import WRITER
from tests.encoders import HashingEncoder

pytestmark = pytest.mark.django_db
DOCUMENTS, PASSAGES = "/api/v1/kbs/hr/documents/", "/api/v1/kbs/hr/passages/"
WALRUS = {"id": "walrus", "title": "Animals", "text": "A walrus lives here.", "tags": ["sea"], "date": "2026-03-31", "author": "Ann"}
SENTENCES = [
    "The committee met again and agreed on the budget of the next year. ",
    "Birds fly south in autumn because insects become rare up north. ",
    "Whoever loses a key tells the porter, who orders another one soon. ",
    "Trains leave from platform seven every twenty minutes until midnight. ",
    "Soup is served first, then fish with potatoes, finally some cheese. ",
    "Glass melts slowly, therefore furnaces burn for several days on end. ",
]
LONG = [sentence * 14 for sentence in SENTENCES]


@pytest.fixture(autouse=True)
def base(kb: KnowledgeBase) -> KnowledgeBase:
    return kb


def found(words: str, *, kind: EntryKind = EntryKind.PASSAGE, tag: str = "") -> int:
    """How many entries words find."""
    kb = KnowledgeBase.objects.get(slug="hr")
    follower().follow(kb.pk, kb.revision)
    filters = Filters(any_of=(frozenset({f"tag={tag}"}),)) if tag else Filters()
    return len(indexes_for(kind).lexical.search(words, 9, Scope(kb_ids=(kb.pk,)), filters))


def agrees() -> bool:
    return not any(drift.count for drift in find_drift(KnowledgeBase.objects.get(slug="hr")))


def test_a_document_is_made_read_changed_replaced_and_deleted(api: APIClient) -> None:
    made = api.post(DOCUMENTS, WALRUS, format="json")
    assert made.status_code == 201
    assert made.json() | {**WALRUS, "status": "published", "language": "en", "access": []} == made.json()
    assert api.get(f"{DOCUMENTS}walrus/").json() == made.json()
    changed = api.patch(f"{DOCUMENTS}walrus/", {"category": "Sea"}, format="json").json()
    assert (changed["category"], changed["tags"], changed["text"]) == ("Sea", ["sea"], "A walrus lives here.")
    replaced = api.put(f"{DOCUMENTS}walrus/", {"text": "A heron lives here."}, format="json").json()
    assert (replaced["title"], replaced["tags"], replaced["date"]) == ("", [], None)
    assert api.delete(f"{DOCUMENTS}walrus/").status_code == 204
    assert api.get(f"{DOCUMENTS}walrus/").status_code == 404


def test_a_misspelt_field_is_refused_by_its_name_and_what_is_given_is_taken_back(api: APIClient) -> None:
    refused = api.post(DOCUMENTS, {**WALRUS, "acess": ["board"]}, format="json")
    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "acess")
    whole = api.post(DOCUMENTS, WALRUS, format="json").json()
    refused = api.patch(f"{DOCUMENTS}walrus/", {"acess": ["board"]}, format="json").json()["error"]
    assert "`acess`" in refused["message"] and "access" in refused["message"]
    assert api.put(f"{DOCUMENTS}walrus/", whole, format="json").status_code == 200


def test_every_change_is_found_at_once(api: APIClient) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    assert (found("walrus"), found("heron")) == (1, 0)
    api.patch(f"{DOCUMENTS}walrus/", {"text": "A heron lives here."}, format="json")
    assert (found("walrus"), found("heron")) == (0, 1)
    api.patch(f"{DOCUMENTS}walrus/", {"status": "archived"}, format="json")
    assert found("heron") == 0
    api.patch(f"{DOCUMENTS}walrus/", {"status": "published"}, format="json")
    assert (found("heron"), agrees()) == (1, True)
    api.delete(f"{DOCUMENTS}walrus/")
    assert (found("heron"), agrees()) == (0, True)


def test_other_tags_hold_at_once_and_encode_nothing(api: APIClient, encoder: HashingEncoder) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    encoded = encoder.texts_encoded
    api.patch(f"{DOCUMENTS}walrus/", {"tags": ["ice"]}, format="json")
    assert (found("walrus", tag="sea"), found("walrus", tag="ice")) == (0, 1)
    assert encoder.texts_encoded == encoded


def test_a_file_keeps_its_structure_when_only_its_fields_change(api: APIClient) -> None:
    api.post(DOCUMENTS, {"id": "a", "text": "\n\n".join(LONG)}, format="json")
    Passage.objects.update(heading="Chapter 1")
    api.patch(f"{DOCUMENTS}a/", {"category": "x"}, format="json")
    assert set(Passage.objects.values_list("heading", flat=True)) == {"Chapter 1"}


def test_a_document_longer_than_a_request_may_bring_can_be_changed(api: APIClient) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    Document.objects.update(text="A walrus lives here." + " More." * 400_000)
    assert api.patch(f"{DOCUMENTS}walrus/", {"category": "x"}, format="json").json()["category"] == "x"


def test_what_a_curator_wrote_is_not_undone_by_the_same_source(api: APIClient, base: KnowledgeBase, tmp_path: Path) -> None:
    def read() -> IngestReport:
        return ingest(base, sources_in(files_below([file])), command_caller("ingest"))

    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": "walrus", "text": "A walrus lives here."}', encoding="utf-8")
    read()
    api.patch(f"{DOCUMENTS}walrus/", {"text": "A heron lives here."}, format="json")
    assert (read().unchanged, found("heron")) == (1, 1)
    file.write_text('{"id": "walrus", "text": "A seal lives here."}', encoding="utf-8")
    assert (read().updated, found("heron"), found("seal")) == (1, 0, 1)


def test_an_editor_proposes_and_a_reviewer_publishes(client_with_role: Callable[..., APIClient]) -> None:
    editor, reviewer = client_with_role("editor"), client_with_role("reviewer")
    assert editor.post(DOCUMENTS, WALRUS, format="json").json()["status"] == "in_review"
    assert found("walrus") == 0
    refused = editor.patch(f"{DOCUMENTS}walrus/", {"status": "published"}, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert reviewer.patch(f"{DOCUMENTS}walrus/", {"status": "published"}, format="json").status_code == 200
    assert found("walrus") == 1
    assert editor.delete(f"{DOCUMENTS}walrus/").status_code == 403
    assert editor.patch(f"{DOCUMENTS}walrus/", {"text": "x", "status": "in_review"}, format="json").status_code == 403
    assert found("walrus") == 1


@pytest.mark.parametrize(("role", "reads", "writes"), [("viewer", 200, 403), ("asker", 404, 404), ("editor", 200, 201)])
def test_a_role_may_so_much(client_with_role: Callable[..., APIClient], role: str, reads: int, writes: int) -> None:
    client = client_with_role(role)
    assert client.get(DOCUMENTS).status_code == reads
    assert client.post(DOCUMENTS, WALRUS, format="json").status_code == writes


def test_a_key_for_one_base_sees_no_other(client_with_role: Callable[..., APIClient], api: APIClient) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    client = client_with_role("admin", KnowledgeBase.objects.create(slug="it", name="IT"))
    for answer in (client.get(DOCUMENTS), client.get(f"{DOCUMENTS}walrus/"), client.get(PASSAGES, {"document": "walrus"})):
        assert answer.status_code == 404
    passage = Passage.objects.get().pk
    other = client.put(f"/api/v1/kbs/it/passages/{passage}/questions/", {"questions": ["x"]}, format="json")
    assert other.status_code == 404


BAD = [
    {},
    {"text": ""},
    {"text": 5},
    {"text": "x", "status": "dancing"},
    {"text": "x", "date": "soon"},
    {"text": "x", "url": "javascript:alert(1)"},
    {"text": "x", "url": "http://[x"},
    {"text": "x", "tags": [1]},
    {"text": "x", "tags": {"a": 1}},
    {"text": "x", "title": "t" * 501},
    {"text": "x", "language": "Elvish!"},
    {"id": "a\nb", "text": "x"},
    ["x"],
    "x",
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_a_bad_document_is_refused_and_nothing_is_written(api: APIClient, body: object) -> None:
    refused = api.post(DOCUMENTS, body, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert api.get(DOCUMENTS).json()["total"] == 0


@pytest.mark.parametrize("id", ["docs/deep/b 文.pdf", "https://example.org/a?b=1#c", "a/", "100%"])
def test_paths_and_addresses_are_ids(api: APIClient, id: str) -> None:
    assert api.post(DOCUMENTS, WALRUS | {"id": id}, format="json").status_code == 201
    assert api.get(f"{DOCUMENTS}{quote(id, safe='')}/").json()["id"] == id
    assert api.post(DOCUMENTS, WALRUS | {"id": id}, format="json").status_code == 400


def test_lists_have_no_texts_and_are_filtered(api: APIClient) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    api.post(DOCUMENTS, {"id": "pay", "title": "发薪", "text": "每月十五日。", "status": "draft"}, format="json")

    def ids(**wanted: str) -> list[str]:
        return [document["id"] for document in api.get(DOCUMENTS, wanted).json()["results"]]

    assert ids() == ["pay", "walrus"]
    assert ids(status="draft") == ids(q="发薪") == ids(language="zh") == ["pay"]
    assert ids(author="Ann") == ids(q="ANIM") == ids(q="walrus") == ["walrus"]
    assert ids(q="\x00") == []
    assert "text" not in api.get(DOCUMENTS).json()["results"][0]


def test_passages_come_in_order_and_by_pages(api: APIClient) -> None:
    text = api.post(DOCUMENTS, {"id": "a", "text": "\n\n".join(LONG)}, format="json").json()["text"]
    total = Passage.objects.count()
    first = api.get(PASSAGES, {"document": "a", "limit": 2}).json()
    rest = api.get(PASSAGES, {"document": "a", "cursor": first["next"]}).json()
    assert (first["total"], len(first["results"]), rest["next"]) == (total, 2, None)
    passages = first["results"] + rest["results"]
    assert [passage["number"] for passage in passages] == list(range(total))
    assert all(text[passage["start"] : passage["end"]] == passage["text"] for passage in passages)
    assert api.get(PASSAGES, {"document": "a", "cursor": "x"}).status_code == 400
    assert api.get(PASSAGES, {"document": "none"}).status_code == 404


def ask(api: APIClient, passage: int, *questions: str) -> object:
    return api.put(f"{PASSAGES}{passage}/questions/", {"questions": list(questions)}, format="json").json()["questions"]


def test_a_question_on_a_passage_is_found_until_it_is_taken_away(api: APIClient) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    passage = Passage.objects.get().pk
    assert ask(api, passage, "Which animal has tusks?", "which animal has tusks") == ["which animal has tusks"]
    assert found("tusks", kind=EntryKind.QUESTION, tag="sea") == 1
    api.patch(f"{DOCUMENTS}walrus/", {"tags": ["ice"]}, format="json")
    assert found("tusks", kind=EntryKind.QUESTION, tag="ice") == 1
    api.patch(f"{DOCUMENTS}walrus/", {"status": "archived"}, format="json")
    assert found("tusks", kind=EntryKind.QUESTION) == 0
    api.patch(f"{DOCUMENTS}walrus/", {"status": "published"}, format="json")
    assert (found("tusks", kind=EntryKind.QUESTION), agrees()) == (1, True)
    ask(api, passage)
    assert (found("tusks", kind=EntryKind.QUESTION), agrees()) == (0, True)


def test_questions_go_over_to_the_passage_that_replaces_theirs(api: APIClient) -> None:
    api.post(DOCUMENTS, {"id": "a", "text": "\n\n".join(LONG)}, format="json")
    last, first = Passage.objects.order_by("number").last(), Passage.objects.order_by("number").first()
    assert first and last
    ask(api, last.pk, "What about the sixth part?")
    ask(api, first.pk, "What about the first part?")
    api.patch(f"{DOCUMENTS}a/", {"text": "\n\n".join(["Wholly other words.", *LONG[2:5], LONG[5] + " And a heron."])}, format="json")
    kept = PassageQuestion.objects.get()
    assert (kept.text, "heron" in kept.passage.text) == ("What about the sixth part?", True)
    assert (found("sixth", kind=EntryKind.QUESTION), found("first", kind=EntryKind.QUESTION), agrees()) == (1, 0, True)
    api.delete(f"{DOCUMENTS}a/")
    assert (found("sixth", kind=EntryKind.QUESTION), Document.objects.count(), agrees()) == (0, 0, True)


def test_an_editor_may_not_put_questions_on_what_is_published(api: APIClient, client_with_role: Callable[..., APIClient]) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    path = f"{PASSAGES}{Passage.objects.get().pk}/questions/"
    assert client_with_role("editor").put(path, {"questions": ["x"]}, format="json").status_code == 403
    for body in ({"questions": "x"}, {}, {"questions": ["x" * 501]}, ["x"]):
        assert api.put(path, body, format="json").status_code == 400


def test_a_passage_that_went_while_its_questions_were_encoded_is_not_found(
    api: APIClient, kb: KnowledgeBase, encoder: HashingEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    passage = Passage.objects.get()

    def meanwhile(texts: Iterable[tuple[EntryKind, str]]) -> None:
        Passage.objects.all().delete()

    monkeypatch.setattr("apps.retrieval.documents.passage_questions.encode_in_batches", meanwhile)
    with pytest.raises(NotFound, match="changed meanwhile"):
        save_questions(kb, passage, ["Which animal has tusks?"], WRITER)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something done while the next change is being encoded."""

    def arrange(work: Callable[[], object]) -> None:
        def encoded(*args: object, **kwargs: object) -> object:
            monkeypatch.undo()
            work()
            return encode_in_batches(*args, **kwargs)

        monkeypatch.setattr("apps.retrieval.documents.services.encode_in_batches", encoded)

    return arrange


def test_two_changes_of_different_fields_at_once_both_count(api: APIClient, meanwhile: Callable[..., None]) -> None:
    api.post(DOCUMENTS, WALRUS, format="json")
    path = f"{DOCUMENTS}walrus/"
    meanwhile(lambda: api.patch(path, {"access": ["board"], "text": "A heron rests here."}, format="json"))
    assert api.patch(path, {"title": "Beasts"}, format="json").status_code == 200
    stored = api.get(path).json()
    assert [stored[name] for name in ("title", "access", "text", "tags")] == ["Beasts", ["board"], "A heron rests here.", ["sea"]]
    assert (found("heron"), found("walrus"), found("beasts")) == (1, 0, 1)


def test_publishing_opens_nothing_that_was_closed_meanwhile(api: APIClient, kb: KnowledgeBase, meanwhile: Callable[..., None]) -> None:
    api.post(DOCUMENTS, {**WALRUS, "status": "draft"}, format="json")
    chosen = list(Document.objects.all())
    meanwhile(lambda: api.patch(f"{DOCUMENTS}walrus/", {"access": ["board"]}, format="json"))
    assert set_status(kb, chosen, Document.Status.PUBLISHED, WRITER) == 1
    stored = api.get(f"{DOCUMENTS}walrus/").json()
    assert (stored["status"], stored["access"]) == ("published", ["board"])
