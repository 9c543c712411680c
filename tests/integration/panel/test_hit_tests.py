"""Hit tests in the panel: gold sets are kept, asked in the background, compared, and lead to why a document was missed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.permissions import Caller
from apps.dialogue.gold_sets import save_gold_set
from apps.dialogue.hit_tests import queue_hit_test
from apps.dialogue.models import EvaluationRun, GoldSet
from apps.retrieval.documents.passage_questions import save_questions
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.serving.jobs.leases import release_dead
from apps.serving.jobs.runner import JobRunner
from apps.serving.models import Job
from tests.documents import WRITER, put_documents
from tests.jobs import age_leases, run_to_the_end
from tests.panel import SignIn

PAGE = "/admin/dialogue/evaluationrun/"
GOLD = [
    {"query": "canteen opening hours", "relevant": ["canteen"]},
    {"query": "where is the library", "relevant": ["library"]},
    {"query": "garage", "relevant": ["gone"]},
]


def jsonl(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture(autouse=True)
def documents(kb: KnowledgeBase) -> None:
    put_documents(kb, canteen="The canteen opens at noon.", library="The library is upstairs.", garage="Park in the garage.")


def keep(client: Client, rows: list[dict[str, object]] | bytes, name: str = "first") -> GoldSet | None:
    data = rows if isinstance(rows, bytes) else jsonl(rows)
    client.post(f"{PAGE}?kb=hr", {"name": name, "file": SimpleUploadedFile("gold.jsonl", data)})
    return GoldSet.objects.filter(name=name).first()


def run(client: Client, gold: GoldSet) -> EvaluationRun | None:
    client.post(f"{PAGE}gold/{gold.pk}/run/")
    run_to_the_end(JobRunner(0))
    return EvaluationRun.objects.first()


def test_a_gold_set_is_asked_by_words_by_vectors_and_by_both(sign_in: SignIn) -> None:
    client = sign_in("editor")
    gold = keep(client, GOLD)
    stored = run(client, gold)
    assert Job.objects.get().state == "done"
    assert stored.metrics["recall_at_1"] == pytest.approx(2 / 3)
    assert set(stored.parts) == {"lexical", "vector"}
    assert [miss["query"] for miss in stored.misses] == ["garage"]
    page = client.get(f"{PAGE}?kb=hr").content.decode()
    assert "0.667" in page


def test_a_run_that_came_out_as_the_one_before_says_so(sign_in: SignIn) -> None:
    client = sign_in("editor", language="en")
    gold = keep(client, GOLD)
    run(client, gold)
    page = client.get(f"{PAGE}{run(client, gold).pk}/change/").content.decode()
    assert "No measure moved." in page and "may be chance" not in page


def test_a_run_without_misses_says_why(sign_in: SignIn, tmp_path: Path) -> None:
    client = sign_in("editor", language="en")
    best = run(client, keep(client, GOLD[:2]))
    assert "Every right document was first." in client.get(f"{PAGE}{best.pk}/change/").content.decode()
    (tmp_path / "gold.jsonl").write_bytes(jsonl(GOLD))
    call_command("evaluate", "retrieval", "--kb", "hr", "--data", tmp_path / "gold.jsonl")
    page = client.get(f"{PAGE}{EvaluationRun.objects.first().pk}/change/").content.decode()
    assert "No misses are kept of a run from the command line" in page and "Every right" not in page


def test_an_id_that_the_base_does_not_have_is_marked_as_such(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("editor", language="en")
    passage = Passage.objects.get(document__external_id="canteen").pk
    gold = [
        {"query": "garage", "relevant": ["library"]},
        {"query": "library", "relevant": [str(passage)]},
        {"query": "garage", "relevant": ["gone"]},
    ]
    stored = run(client, keep(client, gold))
    page = client.get(f"{PAGE}{stored.pk}/change/")
    assert [[there for *_, there in miss["links"]] for miss in page.context["misses"]] == [[True], [True], [False]]
    assert page.content.decode().count("not in this knowledge base") == 1


def test_the_panel_and_the_command_measure_the_same(sign_in: SignIn, tmp_path) -> None:
    client = sign_in("editor")
    first = run(client, keep(client, GOLD))
    (tmp_path / "gold.jsonl").write_bytes(jsonl(GOLD))
    call_command("evaluate", "retrieval", "--kb", "hr", "--data", tmp_path / "gold.jsonl")
    second = EvaluationRun.objects.first()
    assert (second.metrics, second.parts, second.data_sha256) == (first.metrics, first.parts, first.data_sha256)
    assert len(client.get(f"{PAGE}?kb=hr").context["runs"]) == 2


def test_a_command_asks_a_kept_set_and_fails_below_a_bound(sign_in: SignIn) -> None:
    keep(sign_in("editor"), GOLD, name="nightly")
    call_command("evaluate", "retrieval", "--kb", "hr", "--gold", "nightly", "--at-least", "recall_at_1=0.6")
    with pytest.raises(CommandError, match=r"recall_at_1 is 0\.6667, wanted at least 0\.9"):
        call_command("evaluate", "retrieval", "--kb", "hr", "--gold", "nightly", "--at-least", "recall_at_1=0.9")
    with pytest.raises(CommandError, match="There are: nightly"):
        call_command("evaluate", "retrieval", "--kb", "hr", "--gold", "other")


def test_two_runs_are_compared_and_their_trend_is_drawn(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("editor")
    gold = keep(client, GOLD)
    run(client, gold)
    put_documents(kb, gone="All about the garage.", x="Nothing")
    Document.objects.filter(external_id="garage").update(status="archived")
    better = run(client, gold)
    shown = client.get(f"{PAGE}{better.pk}/change/").context["comparison"]
    assert shown["moved"][0] == {"name": "R@1", "by": "+0.333", "colour": "success"}
    assert (shown["significant"], float(shown["p_value"]) > 0.05) == (False, True)
    listed = client.get(f"{PAGE}?kb=hr&show=mrr")
    assert [len(line["dots"]) for line in listed.context["chart"]["lines"]] == [2, 2, 2]


def test_a_test_that_was_killed_goes_on_and_counts_no_question_twice(
    sign_in: SignIn, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.dialogue.hit_tests.PIECE", 1)
    client = sign_in("editor")
    client.post(f"{PAGE}gold/{keep(client, GOLD).pk}/run/")
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    queue_hit_test(save_gold_set(other, "waits", jsonl(GOLD), admin_caller), admin_caller)  # so that turns are short
    dying = JobRunner(0, slice_s=0.0)
    dying.run_one_slice()
    assert Job.objects.get(kb__slug="hr").done == 1
    age_leases()
    release_dead()
    run_to_the_end(JobRunner(0))
    stored = EvaluationRun.objects.get(kb__slug="hr")
    assert (len(stored.questions), stored.metrics["recall_at_1"]) == (3, pytest.approx(2 / 3))


def test_the_same_questions_wait_only_once(sign_in: SignIn) -> None:
    client = sign_in("editor")
    gold = keep(client, GOLD)
    for _ in range(2):
        page = client.post(f"{PAGE}gold/{gold.pk}/run/", follow=True)
    assert Job.objects.count() == 1
    assert "waits or runs already" in page.content.decode()


@pytest.mark.parametrize(
    "data", [b"", b"no json", b'{"query": "a"}', b'{"query": "", "relevant": ["a"]}', b'{"query": "a", "relevant": ["a"]}\n[]', b"\xff\xfe"]
)
def test_a_file_that_is_no_gold_set_is_refused_with_its_line(sign_in: SignIn, data: bytes) -> None:
    client = sign_in("editor")
    assert keep(client, data) is None


def test_gold_sets_are_for_who_edits_the_base(sign_in: SignIn, kb: KnowledgeBase) -> None:
    gold = keep(sign_in("editor"), GOLD)
    viewer = sign_in("viewer")
    assert viewer.get(PAGE).status_code == 403
    assert viewer.post(f"{PAGE}gold/{gold.pk}/run/").status_code == 404
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    secret = EvaluationRun.objects.create(kb=other, task="retrieval", data_name="x", data_sha256="0" * 64, rows=1, seconds=1)
    assert Client().get(f"{PAGE}{secret.pk}/change/").status_code == 302
    assert client_sees(sign_in("reviewer"), secret) is False


def client_sees(client: Client, run: EvaluationRun) -> bool:
    return client.get(f"{PAGE}{run.pk}/change/").status_code == 200


# Why


def test_why_shows_the_question_that_found_a_passage_and_its_words(sign_in: SignIn, kb: KnowledgeBase) -> None:
    save_questions(kb, Document.objects.get(external_id="canteen").passages.get(), ["Where do I get soup?"], WRITER)
    page = sign_in("editor").get("/admin/retrieval/explain/hr/?q=soup")
    (hit,) = [hit for hit in page.context["hits"] if hit["document"] == "canteen"]
    assert (hit["question"]["text"], [term for term, _ in hit["question"]["terms"]]) == ("Where do I get soup?", ["soup"])
    assert "found by its question: Where do I get soup?" in page.content.decode()


def test_why_a_document_was_found_and_another_was_not(sign_in: SignIn, kb: KnowledgeBase) -> None:
    Document.objects.filter(external_id="library").update(status="archived")
    client = sign_in("editor")
    page = client.get("/admin/retrieval/explain/hr/?q=canteen&document=library")
    assert page.context["hits"][0]["document"] == "canteen"
    assert page.context["named"]["rule"] == "status"
    missing = client.get("/admin/retrieval/explain/hr/?q=canteen&document=nowhere", headers={"accept-language": "zh-hans"})
    assert missing.context["named"]["says"] == "这个知识库没有这个编号的文档。"
    found = client.get("/admin/retrieval/explain/hr/?q=canteen&document=canteen").context
    assert [place for _name, place in found["places"]] == [1, 1, 1]
    assert client.get("/admin/retrieval/explain/hr/?q=canteen&mode=none").status_code == 200
    assert sign_in("viewer").get("/admin/retrieval/explain/hr/?q=canteen").status_code == 403
